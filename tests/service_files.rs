//! What is installed beside the programs: units that systemd takes without a word and scores as promised, bus and polkit
//! files that fit together and to the interfaces.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The most exposure that `systemd-analyze security` may find, on its scale from 0 to 10.
const EXPOSURE: f64 = 1.1;

const UNITS: [&str; 2] = ["systemd/ferryd.service", "systemd/user/ferryd.service"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|_| panic!("{path} is there"))
}

/// What a command says on both outputs; it must end well.
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// The unit with the programs where they were built, in a folder of its own: systemd looks whether they are there.
fn built(unit: &str, folder: &TempDir) -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_ferryd")).parent().expect("a folder").display().to_string();
    let text = read(unit);
    assert!(text.contains("=/usr/bin/ferryd ") && text.contains("=/usr/bin/ferryctl "), "{unit}");
    let path = folder.path().join("ferryd.service");
    fs::write(&path, text.replace("=/usr/bin/", &format!("={programs}/"))).expect("a file");
    path
}

/// The values of a directive in a unit, one a line.
fn values<'t>(text: &'t str, directive: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.strip_prefix(directive)?.strip_prefix('=')).collect()
}

#[test]
fn systemd_has_nothing_to_say_of_the_units() {
    for (unit, kind) in UNITS.into_iter().zip(["--system", "--user"]) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = built(unit, &folder);
        let mut verify = Command::new("systemd-analyze");
        verify.args([kind, "verify", "--man=no"]).arg(&path).env("XDG_RUNTIME_DIR", folder.path());
        assert_eq!(said(&mut verify), "", "{unit}");
    }
}

#[test]
fn the_systems_unit_is_as_little_exposed_as_promised() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join(UNITS[0]);
    let table = said(Command::new("systemd-analyze").args(["security", "--offline=yes", "--no-pager"]).arg(unit));
    let last = table.lines().rfind(|line| line.contains("Overall exposure level")).expect("a verdict");
    let exposure = last.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|text| text.parse().ok());
    let exposure: f64 = exposure.unwrap_or_else(|| panic!("no number: {last}"));
    assert!(exposure <= EXPOSURE, "{table}");
}

/// A directive says why it stands there, itself or for the group that it is in.
#[test]
fn every_group_of_directives_has_its_reason() {
    for unit in UNITS {
        let text = read(unit);
        let mut explained = false;
        for line in text.lines() {
            match line.chars().next() {
                None | Some('[') => explained = line.starts_with("[Unit]") || line.starts_with("[Install]"),
                Some('#') => explained = true,
                Some(_) => assert!(explained, "{unit}: no reason is given for {line:?}"),
            }
        }
    }
}

#[test]
fn the_parts_name_each_other() {
    let unit = read(UNITS[0]);
    let user = values(&unit, "User");
    assert_eq!(user, ["ferryd"]);
    for (file, expected) in [
        ("systemd/ferryd.sysusers", "\nu ferryd "),
        ("systemd/ferryd.tmpfiles", "\nd /var/lib/ferryd 0700 ferryd ferryd "),
        ("dbus/org.ferryd.Ferry1.conf", "<policy user=\"ferryd\">"),
        ("dbus/system.service", "\nUser=ferryd\n"),
    ] {
        assert!(read(file).contains(expected), "{file}: {expected}");
    }
    for (unit, activation) in UNITS.into_iter().zip(["dbus/system.service", "dbus/session.service"]) {
        let (unit, activation) = (read(unit), read(activation));
        assert_eq!(values(&unit, "ExecStart"), values(&activation, "Exec"));
        assert_eq!(values(&unit, "BusName"), values(&activation, "Name"));
        assert_eq!(values(&activation, "SystemdService"), ["ferryd.service"]);
        assert!(values(&unit, "After").iter().all(|after| !after.contains("network")), "it waits for no network");
    }
}

#[test]
fn the_bus_lets_everybody_at_the_interfaces_that_there_are() {
    let policy = read("dbus/org.ferryd.Ferry1.conf");
    let allowed = policy.split("send_interface=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let allowed: BTreeSet<_> = allowed.filter(|name| name.starts_with("org.ferryd.")).map(str::to_owned).collect();
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("dbus")).expect("a folder");
    let files = files.map(|entry| entry.expect("an entry").path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "xml"));
    let documented: BTreeSet<_> = files.map(|path| path.file_stem().expect("a name").display().to_string()).collect();
    assert_eq!(allowed, documented);
}

#[test]
fn the_policies_are_well_formed_and_polkits_is_valid() {
    let dtd = "/usr/share/polkit-1/policyconfig-1.dtd";
    let mut lint = Command::new("xmllint");
    lint.args(["--nonet", "--noout", "--nowarning", "--dtdvalid", dtd]);
    said(lint.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("dbus/org.ferryd.ferry1.policy")));
    let mut lint = Command::new("xmllint");
    lint.args(["--nonet", "--noout"]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("dbus/org.ferryd.Ferry1.conf"));
    said(&mut lint);
}

/// The rows of the contract: action, then the defaults for any, inactive and active sessions.
#[test]
fn polkits_defaults_are_those_of_the_contract() {
    let policy = read("dbus/org.ferryd.ferry1.policy");
    let actions: Vec<_> = policy.split("<action id=\"").skip(1).collect();
    let between = |text: &str, from: &str, to: &str| {
        text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).expect(from).0.to_owned()
    };
    let row = |action: &&str| {
        assert_eq!(between(action, "policykit.owner\">", "<"), "unix-user:ferryd");
        let default = |name: &str| between(action, &format!("<allow_{name}>"), "<");
        let id = action.split('"').next().expect("an id").to_owned();
        [id, default("any"), default("inactive"), default("active")]
    };
    let (admin, keep) = ("auth_admin", "auth_admin_keep");
    let expected = [
        ["org.ferryd.ferry1.hold", admin, admin, "yes"],
        ["org.ferryd.ferry1.override", admin, admin, "yes"],
        ["org.ferryd.ferry1.control", keep, keep, keep],
        ["org.ferryd.ferry1.manage-all", keep, keep, keep],
    ];
    assert_eq!(actions.iter().map(row).collect::<Vec<_>>(), expected);
}

#[test]
fn the_user_can_be_made() {
    let root = tempfile::tempdir().expect("a folder");
    let file = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let root_of = format!("--root={}", root.path().display());
    fs::create_dir(root.path().join("etc")).expect("a folder");
    fs::create_dir_all(root.path().join("usr/lib/sysusers.d")).expect("a folder");
    fs::copy(file("systemd/ferryd.sysusers"), root.path().join("usr/lib/sysusers.d/ferryd.conf")).expect("copied");
    let plan = said(Command::new("systemd-sysusers").args(["--dry-run", &root_of, "ferryd.conf"]));
    assert!(plan.contains("Creating user 'ferryd' (Ferry sync service)"), "{plan}");
}
