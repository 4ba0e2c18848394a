//! Generic netlink (linux/genetlink.h): how a family is found whose numbers the kernel draws when it is loaded, and how it
//! is asked.

use netlink_packet_core::{DecodeError, parse_u16, parse_u32};

use super::super::netlink::{Questions, Unanswered, for_each_attribute};
use super::super::text;

/// The bit of the group `notify` (its number is GENL_ID_CTRL), which tells that a family has come or gone.
pub(super) const COMINGS_AND_GOINGS: u32 = 1 << (GENL_ID_CTRL - 1);

/// The length of `struct genlmsghdr`: command, version, two bytes reserved.
pub(super) const HEADER: usize = 4;

// linux/genetlink.h
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const CTRL_ATTR_MCAST_GROUPS: u16 = 7;
const CTRL_ATTR_MCAST_GRP_NAME: u16 = 1;
const CTRL_ATTR_MCAST_GRP_ID: u16 = 2;

/// NL80211_GENL_NAME, and those of its groups that tell of interfaces and of their connections (linux/nl80211.h).
const NAME: &str = "nl80211";
const GROUPS: [&str; 2] = ["config", "mlme"];

/// nl80211, as this kernel has numbered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) id: u16,
    /// The groups that concern us.
    pub(super) groups: Vec<u32>,
}

impl Family {
    /// Looks for it among all families; `None` if this kernel has no Wi-Fi. To ask for it by name would load its module.
    pub(super) fn find(questions: &mut Questions) -> Result<Option<Self>, Unanswered> {
        let all = questions.dump(GENL_ID_CTRL, &request(CTRL_CMD_GETFAMILY), Self::parse);
        all.map(|found| found.into_iter().next()).map_err(|trouble| trouble.about("families"))
    }

    /// Reads a CTRL_CMD_NEWFAMILY; `None` if it is of another.
    fn parse(message: &[u8]) -> Result<Option<Self>, DecodeError> {
        let (mut id, mut ours, mut groups) = (None, false, Vec::new());
        for_each_attribute(message, HEADER, |attribute, value| {
            match attribute {
                CTRL_ATTR_FAMILY_ID => id = Some(parse_u16(value)?),
                CTRL_ATTR_FAMILY_NAME => ours = text::name(value) == NAME,
                CTRL_ATTR_MCAST_GROUPS => for_each_attribute(value, 0, |_index, group| {
                    groups.extend(wanted_group(group)?);
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(id.filter(|_| ours).map(|id| Self { id, groups }))
    }
}

/// The number of a group, if it is one that concerns us.
fn wanted_group(group: &[u8]) -> Result<Option<u32>, DecodeError> {
    let (mut name, mut id) = (String::new(), None);
    for_each_attribute(group, 0, |attribute, value| {
        match attribute {
            CTRL_ATTR_MCAST_GRP_NAME => name = text::name(value),
            CTRL_ATTR_MCAST_GRP_ID => id = Some(parse_u32(value)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(id.filter(|_| GROUPS.contains(&name.as_str())))
}

/// A request without attributes.
pub(super) fn request(command: u8) -> Vec<u8> {
    vec![command, 1, 0, 0]
}

#[cfg(test)]
pub(super) mod tests {
    use netlink_sys::protocols::NETLINK_GENERIC;

    use super::*;
    use crate::fuzz::fuzz;

    /// An attribute with its header and padding (`struct nlattr`, linux/netlink.h).
    pub(in super::super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// The same with NLA_F_NESTED, of other attributes.
    pub(in super::super) fn nest(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        attribute(kind | 0x8000, &attributes.concat())
    }

    /// A message: its command and its attributes.
    pub(in super::super) fn message(command: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        [&[command, 1, 0, 0][..], &attributes.concat()].concat()
    }

    fn group(index: u16, name: &str, id: u32) -> Vec<u8> {
        let name = format!("{name}\0");
        nest(
            index,
            &[
                attribute(CTRL_ATTR_MCAST_GRP_ID, &id.to_ne_bytes()),
                attribute(CTRL_ATTR_MCAST_GRP_NAME, name.as_bytes()),
            ],
        )
    }

    /// CTRL_CMD_NEWFAMILY (1), built after linux/genetlink.h: the kernel that tests run on may have no Wi-Fi.
    fn new_family(name: &str) -> Vec<u8> {
        message(
            1,
            &[
                attribute(CTRL_ATTR_FAMILY_NAME, format!("{name}\0").as_bytes()),
                attribute(CTRL_ATTR_FAMILY_ID, &35_u16.to_ne_bytes()),
                attribute(3, &1_u32.to_ne_bytes()),
                nest(6, &[nest(1, &[attribute(1, &1_u32.to_ne_bytes())])]),
                nest(
                    CTRL_ATTR_MCAST_GROUPS,
                    &[group(1, "config", 5), group(2, "scan", 6), group(3, "regulatory", 7), group(4, "mlme", 8)],
                ),
            ],
        )
    }

    #[test]
    fn the_family_is_known_by_its_name_and_gives_the_groups_that_concern_us() {
        assert_eq!(Family::parse(&new_family("nl80211")).unwrap(), Some(Family { id: 35, groups: vec![5, 8] }));
        assert_eq!(Family::parse(&new_family("nl802154")).unwrap(), None);
        let bare = message(1, &[attribute(CTRL_ATTR_FAMILY_NAME, b"nl80211\0")]);
        assert_eq!(Family::parse(&bare).unwrap(), None, "no number");
    }

    #[test]
    fn what_is_cut_short_is_an_error_or_says_less_and_never_more() {
        let whole = new_family("nl80211");
        for length in 0..whole.len() {
            if let Ok(Some(less)) = Family::parse(&whole[..length]) {
                assert!(less.id == 35 && [5, 8].starts_with(&less.groups), "{length}: {less:?}");
            }
        }
    }

    #[test]
    fn this_kernel_lists_its_families() {
        let mut questions = Questions::open(NETLINK_GENERIC).unwrap();
        let all = questions.dump(GENL_ID_CTRL, &request(CTRL_CMD_GETFAMILY), |message| {
            let mut name = None;
            for_each_attribute(message, HEADER, |attribute, value| {
                if attribute == CTRL_ATTR_FAMILY_NAME {
                    name = Some(text::name(value));
                }
                Ok(())
            })?;
            Ok(name)
        });
        assert!(all.unwrap().contains(&"nlctrl".to_owned()));
    }

    #[test]
    fn any_answer_is_an_error_or_names_known_groups_only() {
        fuzz!("families", |input: &[u8]| {
            let whole = Family::parse(input);
            for length in 0..input.len().min(512) {
                // What is cut short is an error or says less.
                if let (Ok(Some(less)), Ok(Some(all))) = (Family::parse(&input[..length]), &whole) {
                    assert!(less.groups.len() <= all.groups.len() && all.groups.starts_with(&less.groups));
                }
            }
        });
    }
}
