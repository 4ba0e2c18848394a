//! What the configuration takes from the machine: its name, and the numbers of users and groups.

use std::collections::BTreeMap;
use std::fs;

/// The machine as far as the configuration asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// The host name.
    pub name: String,
    /// UIDs by user name.
    pub users: BTreeMap<String, u32>,
    /// GIDs by group name.
    pub groups: BTreeMap<String, u32>,
}

impl Host {
    /// This machine: uname(2), `/etc/passwd`, `/etc/group`. Users known elsewhere (LDAP) can be named by number.
    pub fn local() -> Self {
        let read = |path| fs::read_to_string(path).map(|text| numbers(&text)).unwrap_or_default();
        Self {
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            users: read("/etc/passwd"),
            groups: read("/etc/group"),
        }
    }
}

/// Names and numbers of passwd(5) or group(5): the first field and the third.
fn numbers(text: &str) -> BTreeMap<String, u32> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let number = fields.nth(1)?.parse().ok()?;
        Some((name.to_owned(), number))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_and_group_lines_are_read_and_others_passed_over() {
        let text =
            "root:x:0:0:root:/root:/bin/bash\n# no\n\nkiosk:x:1000:1000::/home/kiosk:/bin/sh\nbroken:x\nwheel:x:998:";
        let expected = [("root", 0), ("kiosk", 1000), ("wheel", 998)];
        assert_eq!(numbers(text), expected.map(|(name, number)| (name.to_owned(), number)).into());
    }

    #[test]
    fn this_machine_has_a_name_and_root() {
        let host = Host::local();
        assert!(!host.name.is_empty());
        assert_eq!(host.users.get("root"), Some(&0));
    }
}
