//! The sample against the defaults, one table of what is refused, and how files are laid over each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::fuzz::fuzz;
use crate::model::{
    BackendName, BatteryFloor, Credential, HeaderToken, Kind, LinkType, Metered, NetworkNeed, Strategy, StrategyName,
};

fn host() -> Host {
    let users = [("root", 0), ("kiosk", 1000)].map(|(name, uid)| (name.to_owned(), uid));
    let groups = [("wheel", 998)].map(|(name, gid)| (name.to_owned(), gid));
    Host { name: "kiosk-17".to_owned(), users: users.into(), groups: groups.into() }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    parse(&[(PathBuf::from("f.toml"), text.to_owned())], &host())
}

fn good(text: &str) -> Config {
    read(text).unwrap_or_else(|error| panic!("{error}"))
}

fn strategy<'a>(config: &'a Config, name: &str) -> &'a Strategy {
    config.strategy(name).unwrap()
}

/// The sample with every key set.
fn uncommented() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') && !key.is_empty() => key.to_owned(),
        _ => line.to_owned(),
    };
    SAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_as_shipped_says_nothing() {
    assert_eq!(good(SAMPLE), good(""));
}

#[test]
fn the_sample_with_every_line_uncommented_says_the_defaults() {
    // A backend's URL and a rule's pattern have no default; all else in the sample has.
    let required = "[backend.main]\nurl = \"https://sync.example.org/items\"\n\
        [[network.interface]]\nmatch = \"wwan*\"\ntype = \"cellular\"\nmetered = \"guess-yes\"\n\
        [[network.interface]]\nssid = \"Ferry Guest\"\nmetered = \"yes\"";
    assert_eq!(good(&uncommented()), good(required));
}

#[test]
fn the_sample_names_every_key() {
    let sample = uncommented();
    for section in
        ["device", "backend.main", "strategy.metadata", "network", "store", "limits", "limits.quota", "access"]
    {
        let Err(ConfigError::Bad(complaints)) = read(&format!("[{section}]\nnonsense = 1")) else {
            panic!("[{section}] took an unknown key");
        };
        let unknown = complaints.iter().find(|complaint| complaint.words.starts_with("unknown key")).unwrap();
        let (_, known) = unknown.words.split_once("known are ").unwrap();
        for key in known.split(", ") {
            let (line, table) = (format!("\n{key} ="), format!("{key}]"));
            assert!(sample.contains(&line) || sample.contains(&table), "[{section}] {key} is not in the sample");
        }
    }
}

#[test]
fn a_store_has_a_bucket_or_a_server_that_signs_and_takes_files() {
    let of = |more: &str| good(&format!("[backend.store]\nkind = 's3'\nurl = 'https://s3.example.org'\n{more}"));
    let config = of("bucket = 'photos'\npart_size = '16 MiB'\nkey = 'in/{task}'\nsweep_after = 'never'");
    let backend = &config.backends[&BackendName::new("store").unwrap()];
    assert_eq!(backend.credential, Some(Credential::Systemd("ferryd.s3".to_owned())));
    assert_eq!((backend.store.part_size, backend.store.sweep_after), (16 << 20, None));
    assert_eq!((backend.store.region.as_str(), backend.store.key.to_string().as_str()), ("us-east-1", "in/{task}"));
    assert_eq!(backend.target(), "https://s3.example.org");
    assert_eq!(strategy(&config, "photo").backend, Some(BackendName::new("store").unwrap()));
    assert_eq!(strategy(&config, "metadata").backend, None);
    let config = of("bucket = 'photos'\npath_style = false");
    assert_eq!(config.backends[&BackendName::new("store").unwrap()].target(), "https://photos.s3.example.org");
    let config = of("sign_url = 'https://app.example.org/sign'");
    let backend = &config.backends[&BackendName::new("store").unwrap()];
    assert_eq!(backend.credential, Some(Credential::Systemd("ferryd.token".to_owned())));
    for (more, words) in [
        ("", "an s3 backend needs one"),
        ("bucket = ''", "an s3 backend needs one"),
        ("bucket = 'a/b'", "not the name of a bucket"),
        ("bucket = 'A_b'\npath_style = false", "use path_style = true"),
        ("bucket = 'b'\nregion = ''", "not the name of a region"),
        ("bucket = 'b'\nkey = '{name}'", "{task} is missing"),
        ("bucket = 'b'\npart_size = '1 MiB'", "is not from 5 MiB to 5 GiB"),
        ("bucket = 'b'\nchecksum = 'crc32'", "is none of sha256, none"),
        ("bucket = 'b'\nsweep_after = '1 h'", "is not from 1 days"),
        ("sign_url = 'ftp://a'", "neither http nor https"),
    ] {
        let error = read(&format!("[backend.store]\nkind = 's3'\nurl = 'https://s3.example.org'\n{more}"));
        let error = error.expect_err(more).to_string();
        assert!(error.contains(words), "{more}: {error}");
    }
}

#[test]
fn the_defaults_are_the_tables_of_the_design() {
    let config = good("");
    assert_eq!(config.device.name, "kiosk-17");
    let row = |name: &str| {
        let strategy = strategy(&config, name);
        let wait = strategy.max_wait.map(|wait| wait.as_secs() / 60);
        (strategy.kind, strategy.priority, strategy.batch, strategy.max_attempts, strategy.multiplier, wait)
    };
    assert_eq!(row("metadata"), (Kind::Json, 1, 50, 5, 2.0, None));
    assert_eq!(row("photo"), (Kind::File, 2, 3, 3, 2.0, Some(30)));
    assert_eq!(row("analytics"), (Kind::Json, 3, 100, 2, 1.5, Some(120)));
    let needs = ["metadata", "photo", "analytics"].map(|name| {
        let conditions = &strategy(&config, name).conditions;
        (conditions.network, conditions.roaming, conditions.heed_power_save)
    });
    let expected =
        [(NetworkNeed::Any, true, false), (NetworkNeed::Unmetered, false, true), (NetworkNeed::Any, true, true)];
    assert_eq!(needs, expected);
    assert!(config.strategies.values().all(|strategy| strategy.backend.is_none()));
    let limits = &config.limits;
    assert_eq!(
        (limits.max_concurrent, limits.payload, limits.batch_items, limits.batch_bytes),
        (3, 65_536, 500, 8 << 20)
    );
    assert_eq!((limits.backoff_cap, limits.quotas.subscribers), (Duration::from_secs(900), 16));
}

#[test]
fn keys_are_set_singly_and_strategies_added() {
    let text = "
        [strategy.photo]
        network = 'wifi'
        min_battery = 30
        max_wait = 'never'
        randomized_delay = '2 min'
        [strategy.logs]
        kind = 'file'
        multiplier = 3
    ";
    let config = good(text);
    let photo = strategy(&config, "photo_upload");
    assert_eq!(
        (photo.conditions.network, photo.conditions.min_battery),
        (NetworkNeed::Wifi, BatteryFloor::new(30).unwrap())
    );
    assert_eq!((photo.max_wait, photo.batch, photo.conditions.heed_power_save), (None, 3, true));
    let delays = ["photo", "metadata"].map(|name| strategy(&config, name).randomized_delay.as_secs());
    assert_eq!(delays, [120, 0]);
    let logs = strategy(&config, "logs");
    assert_eq!((logs.kind, logs.priority, logs.multiplier, logs.conditions.roaming), (Kind::File, 10, 3.0, false));
    assert_eq!(config.strategies.len(), 4);
}

#[test]
fn hours_budgets_and_rates_are_read() {
    let read = |keys: &str| {
        let config = good(&format!("[strategy.photo]\n{keys}"));
        let photo = strategy(&config, "photo");
        (photo.conditions.window.to_string(), photo.conditions.metered_budget, photo.max_rate)
    };
    let text = "window = ['22:00-06:00', ' 12:00 - 13:30 ']\nmetered_bytes_per_day = '2 MiB'\nmax_rate = '256 KiB/s'";
    assert_eq!(read(text), ("22:00-06:00, 12:00-13:30".to_owned(), Some(2 << 20), Some(256 << 10)));
    assert_eq!(read("window = '23:30-24:00'\nmetered_bytes_per_day = 500").0, "23:30-24:00");
    let none = (String::new(), None, None);
    assert_eq!(read("window = ''\nmetered_bytes_per_day = 'unlimited'\nmax_rate = 'unlimited'"), none);
    assert_eq!(read("window = []"), none);
    let strips = |keys: &str| strategy(&good(&format!("[strategy.photo]\n{keys}")), "photo").strip_gps;
    assert!(strips("strip_gps = true") && !strips("strip_gps = false") && !strips(""));
}

#[test]
fn a_strategy_without_a_backend_goes_to_main_or_the_only_one() {
    let of = |text: &str| strategy(&good(text), "metadata").backend.clone();
    let named = |name: &str| Some(BackendName::new(name).unwrap());
    let url = "url = 'http://h/'\n";
    assert_eq!(of(&format!("[backend.a]\n{url}")), named("a"));
    assert_eq!(of(&format!("[backend.a]\n{url}[backend.main]\n{url}")), named("main"));
    assert_eq!(of(&format!("[backend.a]\n{url}[backend.b]\n{url}")), None);
    assert_eq!(of(&format!("[backend.a]\n{url}[backend.b]\n{url}[strategy.metadata]\nbackend = 'b'")), named("b"));
}

#[test]
fn a_backend_is_read_whole() {
    let text = "
        [backend.main]
        url = 'https://sync.example.org:8443/items?tenant=7'
        token_file = '/etc/ferryd/token'
        token_header = 'X-Api-Key'
        ca_file = '/etc/ferryd/ca.pem'
        proxy = 'http://proxy.local:3128'
        answer = 'status'
        read_timeout = '500 ms'
    ";
    let config = good(text);
    let backend = config.backends.values().next().unwrap();
    assert_eq!(backend.url, "https://sync.example.org:8443/items?tenant=7");
    assert_eq!(backend.credential, Some(Credential::File("/etc/ferryd/token".into())));
    assert_eq!(backend.token, HeaderToken::Header("X-Api-Key".to_owned()));
    assert_eq!(backend.ca_file.as_deref(), Some(Path::new("/etc/ferryd/ca.pem")));
    assert_eq!(backend.proxy.as_deref(), Some("http://proxy.local:3128"));
    assert_eq!((backend.gzip, backend.read_timeout), (false, Duration::from_millis(500)));

    let plain = good("[backend.main]\nurl = 'http://h/'\ncredential = ''");
    assert_eq!(plain.backends.values().next().unwrap().credential, None);
}

#[test]
fn interface_rules_keep_their_order() {
    let text =
        "[[network.interface]]\nmatch = 'usb*'\ntype = 'cellular'\n[[network.interface]]\nmatch = '*'\nmetered = 'yes'";
    let rules = good(text).network.interfaces;
    assert_eq!((rules[0].pattern.as_str(), rules[0].link, rules[0].metered), ("usb*", Some(LinkType::Cellular), None));
    assert_eq!((rules[1].pattern.as_str(), rules[1].link, rules[1].metered), ("*", None, Some(Metered::Yes)));
}

#[test]
fn a_rule_with_an_ssid_needs_no_pattern() {
    let rules = good(
        "[[network.interface]]\nssid = 'Phone of Ana'\nmetered = 'yes'\n[[network.interface]]\nmatch = 'wlan1'\nssid = 'x'",
    )
    .network
    .interfaces;
    let said = |rule: &crate::model::InterfaceRule| (rule.pattern.clone(), rule.ssid.clone());
    assert_eq!(said(&rules[0]), ("*".to_owned(), Some("Phone of Ana".to_owned())));
    assert_eq!(said(&rules[1]), ("wlan1".to_owned(), Some("x".to_owned())));
}

#[test]
fn admins_are_users_and_groups_by_name_or_number() {
    let access = good("[access]\nadmins = ['kiosk', 'group:wheel', '1234', 'group:27']").access;
    assert_eq!((access.admin_uids, access.admin_gids), ([1000, 1234].into(), [998, 27].into()));
}

#[test]
fn a_probe_is_a_url_and_what_it_answers() {
    let probe = |text: &str| good(&format!("[network]\n{text}")).network.probe;
    assert_eq!((probe(""), probe("probe_url = ''"), probe("probe_status = 200")), (None, None, None));
    let shipped = probe("probe_url = 'http://probe.example/?key=secret'").unwrap();
    assert_eq!((shipped.status, shipped.body.as_str(), shipped.shown()), (204, "", "http://probe.example/"));
    let own = probe("probe_url = 'https://h/'\nprobe_status = 200\nprobe_body = ' success '").unwrap();
    assert_eq!((own.status, own.body.as_str()), (200, "success"));
}

#[test]
fn what_cannot_be_is_refused_with_line_key_and_words() {
    let table = [
        (
            "[strategy.photo]\nnetwork = 'lte'",
            "f.toml:2: strategy.photo.network: \"lte\" is none of any, unmetered, wifi",
        ),
        ("[strategy.photo]\nnetwork = 3", "f.toml:2: strategy.photo.network: text is expected, found an integer"),
        ("[strategy.photo]\nbatch = 0", "f.toml:2: strategy.photo.batch: 0 is not from 1 to 1000"),
        ("[strategy.photo]\nbatch = -1", "f.toml:2: strategy.photo.batch: -1 is not from 1 to 1000"),
        ("[strategy.photo]\nbatch = 1e3", "f.toml:2: strategy.photo.batch: an integer is expected, found a float"),
        ("[strategy.photo]\nmultiplier = 0.5", "f.toml:2: strategy.photo.multiplier: 0.5 is not from 1 to 10"),
        ("[strategy.photo]\nmultiplier = nan", "f.toml:2: strategy.photo.multiplier: NaN is not from 1 to 10"),
        ("[strategy.photo]\nmin_battery = 20", "f.toml:2: strategy.photo.min_battery: 20 is none of 0, 15, 30, 50, 80"),
        (
            "[strategy.photo]\ncharging = 'yes'",
            "f.toml:2: strategy.photo.charging: true or false is expected, found text",
        ),
        (
            "[strategy.photo]\nmax_wait = '5'",
            "f.toml:2: strategy.photo.max_wait: \"5\" is no duration such as \"30 s\", \"15 min\", \"2 h\" or \"7 days\", or \"never\"",
        ),
        (
            "[strategy.photo]\nrandomized_delay = '2 h'",
            "f.toml:2: strategy.photo.randomized_delay: \"2 h\" is not from 0 s to 1 h",
        ),
        (
            "[strategy.photo]\nwindow = ['01:00-02:00', '22:00-22:00']",
            "f.toml:2: strategy.photo.window: \"22:00-22:00\" begins when it ends; leave the key out for \"always\"",
        ),
        (
            "[strategy.photo]\nwindow = '24:00-06:00'",
            "f.toml:2: strategy.photo.window: \"24:00-06:00\" is no span of local time such as \"22:00-06:00\"",
        ),
        (
            "[strategy.photo]\nwindow = '9:00-24:01'",
            "f.toml:2: strategy.photo.window: \"9:00-24:01\" is no span of local time such as \"22:00-06:00\"",
        ),
        ("[strategy.photo]\nwindow = 3", "f.toml:2: strategy.photo.window: an array is expected, found an integer"),
        (
            "[strategy.photo]\nmetered_bytes_per_day = 0",
            "f.toml:2: strategy.photo.metered_bytes_per_day: 0 B is not from 1 B to 1 TiB, or \"unlimited\"",
        ),
        (
            "[strategy.photo]\nmax_rate = '1 KiB/s'",
            "f.toml:2: strategy.photo.max_rate: \"1 KiB/s\" is not from 8 KiB/s to 1 GiB/s, or \"unlimited\"",
        ),
        (
            "[strategy.photo]\nmax_rate = '1 MiB'",
            "f.toml:2: strategy.photo.max_rate: \"1 MiB\" is no rate such as \"256 KiB/s\", or \"unlimited\"",
        ),
        ("[strategy.photo]\nbackend = 'x'", "f.toml:2: strategy.photo.backend: there is no [backend.x], nor any other"),
        ("[strategy.Photo]", "f.toml:1: strategy.Photo: \"Photo\" is not a name ([a-z][a-z0-9_]{0,31})"),
        (
            "[strategy.photo_upload]",
            "f.toml:1: strategy.photo_upload: another name of strategy.photo, which takes the keys",
        ),
        ("[strategy]\nphoto = 1", "f.toml:2: strategy.photo: a section is expected, found an integer"),
        ("strategy = 1", "f.toml:1: strategy: a section is expected, found an integer"),
        (
            "[backend.main]",
            "f.toml:1: backend.main.url: a backend needs one, such as \"https://sync.example.org/items\"",
        ),
        (
            "[backend.main]\nurl = 'sync'",
            "f.toml:2: backend.main.url: not an absolute URL: relative URL without a base",
        ),
        ("[backend.main]\nurl = 'ftp://h/'", "f.toml:2: backend.main.url: \"ftp\" is neither http nor https"),
        (
            "[backend.main]\nurl = 'http://me:secret@h/'",
            "f.toml:2: backend.main.url: the URL must not hold a user or password; secrets go into a credential or token_file",
        ),
        ("[backend.main]\nurl = 'http://h/#x'", "f.toml:2: backend.main.url: the URL must not have a #fragment"),
        (
            "[backend.main]\nurl = 'http://h/'\nkind = 'ftp'",
            "f.toml:3: backend.main.kind: \"ftp\" is none of http, tus, s3",
        ),
        (
            "[backend.main]\nurl = 'http://h/'\ntoken_file = 'token'",
            "f.toml:3: backend.main.token_file: not an absolute path",
        ),
        (
            "[backend.main]\nurl = 'http://h/'\ncredential = 'a'\ntoken_file = '/t'",
            "f.toml:4: backend.main.token_file: credential is given too; set one of the two to \"\"",
        ),
        (
            "[backend.main]\nurl = 'http://h/'\ncredential = '../a'",
            "f.toml:3: backend.main.credential: not a credential's name, a bare file name",
        ),
        (
            "[backend.main]\nurl = 'http://h/'\ntoken_header = 'X Y'",
            "f.toml:3: backend.main.token_header: not a header's name",
        ),
        (
            "[backend.main]\nurl = 'http://h/'\ntoken_header = 'Host'",
            "f.toml:3: backend.main.token_header: the header \"Host\" is not free to carry a token",
        ),
        (
            "[backend.main]\nurl = 'http://h/'\nproxy = 'socks5://h:1'",
            "f.toml:3: backend.main.proxy: \"socks5://h:1\" is not of the form http://HOST:PORT",
        ),
        (
            "[backend.main]\nurl = 'http://h/'\nread_timeout = '2 h'",
            "f.toml:3: backend.main.read_timeout: \"2 h\" is not from 100 ms to 1 h",
        ),
        ("[limits]\nmax_concurrent = 1", "f.toml:2: limits.max_concurrent: 1 is not from 2 to 16"),
        ("[limits]\npayload = '2 MiB'", "f.toml:2: limits.payload: 2 MiB is not from 1 KiB to 1 MiB"),
        ("[limits]\npayload = '64 kib'", "f.toml:2: limits.payload: \"64 kib\" is no size such as 65536 or \"64 KiB\""),
        (
            "[limits]\nbatch_bytes = '2 KiB'",
            "f.toml:2: limits.batch_bytes: less than limits.payload: no batch could hold the largest task",
        ),
        (
            "[limits.quota]\ntasks = 99999999999999999999999",
            "f.toml:2: limits.quota.tasks: 9223372036854775807 is not from 1 to 100000000",
        ),
        (
            "[[network.interface]]\ntype = 'wifi'",
            "f.toml:1: network.interface[0].match: a rule needs one, such as \"wwan*\", or ssid",
        ),
        ("[network]\nprobe_url = 'ftp://h/'", "f.toml:2: network.probe_url: \"ftp\" is neither http nor https"),
        ("[network]\nprobe_status = 99", "f.toml:2: network.probe_status: 99 is not from 200 to 599"),
        (
            "[[network.interface]]\nmatch = 'a'\ntype = 'none'",
            "f.toml:3: network.interface[0].type: \"none\" is none of wifi, ethernet, cellular, other",
        ),
        (
            "[[network.interface]]\nssid = ''",
            "f.toml:2: network.interface[0].ssid: \"\" is not the name of a Wi-Fi network, as Ssid on D-Bus shows it",
        ),
        ("[network.interface]\nmatch = 'a'", "f.toml:1: network.interface: an array is expected, found a table"),
        (
            "[access]\nadmins = [\n'root',\n'nobody-here']",
            "f.toml:4: access.admins: there is no user \"nobody-here\" here (write NAME, UID, group:NAME or group:GID)",
        ),
        (
            "[access]\nadmins = ['group:kiosk']",
            "f.toml:2: access.admins: there is no group \"kiosk\" here (write NAME, UID, group:NAME or group:GID)",
        ),
        ("[access]\nadmins = 'root'", "f.toml:2: access.admins: an array is expected, found text"),
        (
            "[device]\nname = \"a\\u0007\"",
            "f.toml:2: device.name: \"a\\u{7}\" is longer than 255 bytes or holds control characters",
        ),
        ("[store]\nkeep_done = 2024-01-01", "f.toml:2: store.keep_done: text is expected, found a date"),
        ("[store]\nkeep = '1 day'", "f.toml:2: store.keep: unknown key; known are keep_done, reserve"),
        (
            "\n[stor]",
            "f.toml:2: stor: unknown key; known are device, backend, strategy, network, store, limits, access",
        ),
    ];
    for (text, expected) in table {
        let error = read(text).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    for (text, line) in [("[device\nname = 1", 1), ("\n\nname = = 1", 3), ("[a]\n[b]\n[a]", 3)] {
        let Err(ConfigError::Bad(complaints)) = read(text) else { panic!("{text:?} was taken") };
        assert_eq!((complaints[0].line, complaints[0].key.as_str()), (line, ""), "{text:?}: {}", complaints[0]);
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_lines() {
    let text = "[limits]\nmax_concurrent = 99\n[backend.main]\nurl = 'x'\n[strategy.photo]\nbatch = 'many'\nwidth = 3";
    let Err(ConfigError::Bad(complaints)) = read(text) else { panic!("taken") };
    let keys: Vec<_> = complaints.iter().map(|complaint| (complaint.line, complaint.key.as_str())).collect();
    let expected = [
        (2, "limits.max_concurrent"),
        (4, "backend.main.url"),
        (6, "strategy.photo.batch"),
        (7, "strategy.photo.width"),
    ];
    assert_eq!(keys, expected);
}

#[test]
fn later_files_win_key_by_key_and_are_named_in_complaints() {
    let source = |name: &str, text: &str| (PathBuf::from(name), text.to_owned());
    let main = source("main.toml", "[limits]\nmax_concurrent = 4\npayload_depth = 8\n[access]\nadmins = ['root']");
    let later = source("10.toml", "[limits]\nmax_concurrent = 5\n[access]\nadmins = ['kiosk']");
    let config = parse(&[main.clone(), later], &host()).unwrap();
    assert_eq!((config.limits.max_concurrent, config.limits.payload_depth), (5, 8));
    assert_eq!(config.access.admin_uids, [1000].into());

    let bad = source("10.toml", "\nlimits.max_concurrent = 0");
    let error = parse(&[main, bad], &host()).unwrap_err();
    assert_eq!(error.to_string(), "10.toml:2: limits.max_concurrent: 0 is not from 2 to 16");
}

#[test]
fn files_are_loaded_with_their_drop_ins_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (main, drop_ins) = (folder.path().join("ferryd.toml"), folder.path().join("conf.d"));
    let missing = load(Some(&main)).unwrap_err();
    assert_eq!(missing.to_string(), format!("reading {}: No such file or directory (os error 2)", main.display()));

    fs::write(&main, "[limits]\nmax_concurrent = 4\n").unwrap();
    assert_eq!(load(Some(&main)).unwrap().limits.max_concurrent, 4);

    fs::create_dir(&drop_ins).unwrap();
    for (name, text) in [("20.toml", "limits.max_concurrent = 6"), ("10.toml", "limits.max_concurrent = 5")] {
        fs::write(drop_ins.join(name), text).unwrap();
    }
    for name in ["30.toml.bak", ".40.toml", "README"] {
        fs::write(drop_ins.join(name), "not toml at all").unwrap();
    }
    assert_eq!(load(Some(&main)).unwrap().limits.max_concurrent, 6);

    fs::write(drop_ins.join("50.toml"), [0xff]).unwrap();
    assert!(matches!(load(Some(&main)), Err(ConfigError::Unreadable { path, .. }) if path.ends_with("50.toml")));
}

#[test]
fn names_of_strategies_are_looked_up_by_their_other_names_too() {
    let config = good("");
    assert_eq!(strategy(&config, "metadata_update").name, StrategyName::new("metadata").unwrap());
    assert!(config.strategy("nothing").is_none());
}

#[test]
fn any_text_is_a_configuration_or_is_refused_with_its_lines() {
    fuzz!("config", |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        match read(&text) {
            Ok(config) => {
                assert_eq!(good(&format!("# first\n{text}\n# last")), config, "comments say nothing");
                let sources = ["", &text, ""].map(|text| (PathBuf::from("f.toml"), text.to_owned()));
                assert_eq!(parse(&sources, &host()).unwrap(), config, "nor do empty files");
            }
            Err(ConfigError::Bad(complaints)) => {
                assert!(!complaints.is_empty());
                let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
                for Complaint { line, words, key, .. } in &complaints {
                    // A section that is not there at all is complained of at the start.
                    assert!((1..=lines).contains(line), "{line}: {key}: {words}");
                    assert!(!words.is_empty() && !words.contains('\n'), "{words:?}");
                }
                assert!(complaints.is_sorted_by_key(|complaint| complaint.line));
            }
            Err(error @ ConfigError::Unreadable { .. }) => panic!("nothing is read: {error}"),
        }
    });
}

#[test]
fn keys_of_any_depth_are_refused_and_not_the_end() {
    let dotted = format!("a{} = 1", ".a".repeat(100_000));
    let (lists, tables) = (format!("a = {}", "[".repeat(100_000)), format!("a = {}", "{a=".repeat(100_000)));
    let header = format!("[a{}]", ".a".repeat(100_000));
    for text in [dotted, header, lists, tables] {
        assert!(matches!(read(&text), Err(ConfigError::Bad(_))));
    }
}
