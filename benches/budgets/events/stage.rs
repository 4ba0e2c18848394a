//! A device on one cable with its servers, and stand-ins for the services of the machine: all that can be missing of it, and
//! how that is given back.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::ferryd::demo::{Behaviour, Fault, Gate, Log, Server, Verdict, Wait};
use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use netlink_sys::{Socket, SocketAddr};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zbus::{Connection, OwnedVariant, Variant};

use super::HANG;
use super::zone::{self, Localtime};
use crate::bus::Bus;
use crate::ferryd::{self, Ferryd, Mounted};
use crate::mock::{Mock, owned};
use crate::netns::Pair;
use crate::standins::{self, HOME, LO, MODEM, MODEM_3GPP, MODEM_PATH, NM, NM_DEVICE, NM_PATH, NO, PPD, PPD_PATH};
use crate::{Failed, place};

const ROOT: &str = "/org/ferryd/Ferry1";
/// The server's name, which a portal may resolve to itself.
const NAME: &str = "server.test";
const LINK: &str = "wifi";

/// `NMConnectivityState`.
const PORTAL: u32 = 2;
const FULL: u32 = 4;

/// One strategy for each condition.
const STRATEGIES: &str = r#"
[strategy.frugal]
network = "unmetered"
[strategy.homely]
roaming = false
[strategy.wifi]
network = "wifi"
[strategy.charging]
charging = true
[strategy.battery]
min_battery = 30
[strategy.saving]
heed_power_save = true
[strategy.hours]
window = "12:00-13:00"
[strategy.daily]
metered_bytes_per_day = "1 B"
[strategy.vault]
backend = "vault"
"#;

/// What a call for a task takes and gives.
type Options = HashMap<&'static str, Variant<'static>>;

/// The device.
pub(super) struct Stage {
    runtime: Runtime,
    connection: Connection,
    server: Server,
    probe: Server,
    services: Services,
    localtime: Localtime,
    dir: TempDir,
    supplies: PathBuf,
    /// Counts the secrets there were.
    secrets: u32,
    held: Option<zbus::OwnedFd>,
    gate: Gate,
    /// Of the next task.
    options: Options,
    ferryd: Ferryd,
    _bus: Bus,
    /// Last, so that the programs on it go first.
    pair: Pair,
}

struct Services {
    network: Mock,
    modem: Mock,
    profiles: Mock,
    logind: Mock,
}

impl Stage {
    /// Nothing is missing.
    pub(super) fn new() -> Result<Self, Failed> {
        let pair = Pair::new();
        pair.default_route();
        let serve = |behaviour| -> Result<Server, Failed> {
            let listener = pair.server.inside(|| TcpListener::bind((Pair::SERVER, 0)))?;
            Ok(Server::start(listener, behaviour)?)
        };
        let (server, probe) = (serve(Behaviour::honest())?, serve(internet())?);
        let (bus, dir) = (Bus::start()?, place::directory()?);
        let supplies = dir.path().join("supplies");
        for (file, value) in [
            ("AC/type", "Mains"),
            ("AC/online", "1"),
            ("BAT0/type", "Battery"),
            ("BAT0/status", "Discharging"),
            ("BAT0/capacity", "60"),
        ] {
            write(&supplies.join(file), value)?;
        }
        let services = Services::start(&bus.address);
        let localtime = Localtime::new(dir.path())?;
        let hosts = localtime.folder().join("hosts");
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{} {NAME}\n", Pair::SERVER))?;
        write(&dir.path().join("secret"), "0")?;
        let config = configuration(&server, &probe, dir.path(), LINK);
        let mounted: [Mounted<'_>; 2] = [(&supplies, "/sys/class/power_supply"), (localtime.folder(), "/etc")];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let start = Ferryd::mounted(&pair.device, &bus, dir.path(), &config, &mounted, localtime.log()?);
        let ferryd = runtime.block_on(start)?;
        let connection = runtime.block_on(bus.connect())?;
        let (gate, options) = (Gate::closed(), Options::new());
        let (secrets, held) = (0, None);
        #[rustfmt::skip]
        let stage = Self {
            runtime, connection, server, probe, services, localtime, dir, supplies, secrets, held, gate, options, ferryd,
            _bus: bus, pair,
        };
        Ok(stage)
    }

    /// Gives back what the trials of one kind may have left missing.
    pub(super) fn calm(&mut self) -> Result<(), Failed> {
        self.pair.default_route();
        self.services.network.set(NM_PATH, NM, "ConnectivityCheckEnabled", false);
        self.metered(NO)?;
        self.supply("AC/online", "1")
    }

    /// The last of what the daemon has said.
    pub(super) fn log(&self) -> String {
        let log = self.localtime.said().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Ends the daemon.
    pub(super) fn stop(self) -> Result<(), Failed> {
        self.ferryd.stop()
    }

    /// How many tasks the server has taken.
    pub(super) fn seen(&self) -> usize {
        self.server.log(Log::applied)
    }

    /// Waits until it has taken so many.
    pub(super) fn until_seen(&self, count: usize) -> Result<(), Failed> {
        let heard = self.server.wait_until(|log| log.applied() >= count, HANG);
        if heard { Ok(()) } else { Err("no attempt".into()) }
    }

    /// Waits until tasks of a strategy would wait for this and nothing else.
    pub(super) fn until_blocked(&self, strategy: &str, reason: &str) -> Result<(), Failed> {
        soon_so(|| {
            let blocked = Vec::<String>::try_from(self.shown(strategy, "Blocked")?)?;
            Ok(if blocked == [reason] { Ok(()) } else { Err(format!("no {reason}, but {blocked:?}")) })
        })
    }

    /// Waits until a task waits for this and nothing else.
    pub(super) fn until_waits(&self, id: &str, reason: &str) -> Result<(), Failed> {
        soon_so(|| {
            let rows = self.explain(id)?;
            let only = matches!(&rows[..], [(found, ..)] if found == reason);
            Ok(if only { Ok(()) } else { Err(format!("no {reason}, but {rows:?}")) })
        })
    }

    /// How long it is until what a task waits for comes, as it is said.
    pub(super) fn left(&self, id: &str) -> Result<Duration, Failed> {
        let rows = self.explain(id)?;
        let until = match &rows[..] {
            [(_, _, _, detail)] => detail.get("until"),
            _ => None,
        };
        let until = until.ok_or_else(|| format!("no time, but {rows:?}"))?;
        let until = Duration::from_micros(String::try_from(until.try_clone()?)?.parse()?);
        let left = until.checked_sub(since_epoch()?).ok_or("it has gone already")?;
        if left > HANG { Err(format!("only in {left:?}").into()) } else { Ok(left) }
    }

    fn explain(&self, id: &str) -> Result<Vec<Row>, Failed> {
        Ok(self.answer("Tasks", "Explain", &(id, Options::new()))?.body().deserialize()?)
    }

    /// Hands a task over.
    pub(super) fn enqueue(&mut self, strategy: &str) -> Result<String, Failed> {
        let options = std::mem::take(&mut self.options);
        Ok(self.answer("Tasks", "Enqueue", &(strategy, "{}", options))?.body().deserialize()?)
    }

    /// A property of a strategy.
    fn shown(&self, strategy: &str, property: &str) -> Result<OwnedVariant, Failed> {
        let path = format!("{ROOT}/strategies/{strategy}");
        let asked = (format!("{}.Strategy", ferryd::NAME), property);
        let properties = Some("org.freedesktop.DBus.Properties");
        let call = self.connection.call_method(Some(ferryd::NAME), path, properties, "Get", &asked);
        Ok(self.runtime.block_on(call)?.body().deserialize()?)
    }

    fn call<B>(&self, interface: &str, member: &str, body: &B) -> Result<(), Failed>
    where
        B: serde::Serialize + zbus::DynamicType + Sync,
    {
        self.answer(interface, member, body).map(drop)
    }

    fn answer<B>(&self, interface: &str, member: &str, body: &B) -> Result<zbus::Message, Failed>
    where
        B: serde::Serialize + zbus::DynamicType + Sync,
    {
        let interface = format!("{}.{interface}", ferryd::NAME);
        let call = self.connection.call_method(Some(ferryd::NAME), ROOT, Some(interface.as_str()), member, body);
        Ok(self.runtime.block_on(call)?)
    }
}

/// The link.
impl Stage {
    /// Runs `ip` on the device.
    pub(super) fn ip(&self, arguments: &str) -> Result<(), Failed> {
        self.pair.device.ip(arguments);
        Ok(())
    }

    /// Takes the link away. More than one cut a second would be a link that flaps, which must stay for a while before it
    /// counts (`docs/network.md`).
    pub(super) fn cut(&self, arguments: &str) -> Result<(), Failed> {
        thread::sleep(Duration::from_secs(1));
        self.ip(arguments)
    }

    /// Says in the configuration what the link is.
    pub(super) fn link_is(&self, kind: &str) -> Result<(), Failed> {
        let config = configuration(&self.server, &self.probe, self.dir.path(), kind);
        std::fs::write(ferryd::config_in(self.dir.path()), config)?;
        self.call("Manager", "Reload", &())
    }

    /// A portal answers for everyone. What NetworkManager says of it takes the place of what the probe finds.
    pub(super) fn portal(&self, networkmanager_looks: bool) -> Result<(), Failed> {
        self.services.rest();
        self.server.behave(Behaviour::fault(Fault::html()));
        self.probe.behave(Behaviour::fault(Fault::html()));
        self.services.network.quietly(|objects| objects.set(NM_PATH, NM, "Connectivity", owned(PORTAL)));
        self.services.network.set(NM_PATH, NM, "ConnectivityCheckEnabled", networkmanager_looks);
        Ok(())
    }

    /// It has gone, and NetworkManager says so, if it looks.
    pub(super) fn no_portal(&self) -> Result<(), Failed> {
        self.server.behave(Behaviour::honest());
        self.probe.behave(internet());
        self.services.network.set(NM_PATH, NM, "Connectivity", FULL);
        Ok(())
    }
}

/// The services of the machine, and its power.
impl Stage {
    /// A trial begins with services that have been silent for a moment.
    pub(super) fn rest(&self) -> &Self {
        self.services.rest();
        self
    }

    /// NetworkManager says what bytes cost.
    pub(super) fn metered(&self, metered: u32) -> Result<(), Failed> {
        standins::set_metered(&self.services.network, metered);
        Ok(())
    }

    /// ModemManager says whether it roams.
    pub(super) fn registered(&self, state: u32) -> Result<(), Failed> {
        self.services.modem.set(MODEM_PATH, MODEM_3GPP, "RegistrationState", state);
        Ok(())
    }

    /// power-profiles-daemon says which one holds.
    pub(super) fn profile(&self, profile: &str) -> Result<(), Failed> {
        self.services.profiles.set(PPD_PATH, PPD, "ActiveProfile", profile);
        Ok(())
    }

    /// logind says that the device goes to sleep, or has woken.
    pub(super) fn sleeps(&self, near: bool) -> Result<(), Failed> {
        standins::prepare_for_sleep(&self.services.logind, near);
        Ok(())
    }

    /// Changes a file of the supplies, and has the kernel tell of it (lib/kobject_uevent.c: root of a network namespace may
    /// inject).
    pub(super) fn supply(&self, file: &str, value: &str) -> Result<(), Failed> {
        std::fs::write(self.supplies.join(file), value)?;
        let text = "change@/devices/x\0ACTION=change\0DEVPATH=/devices/x\0SUBSYSTEM=power_supply\0";
        // A netlink header: length, type 16 (the first free one), NLM_F_REQUEST, number, sender.
        let mut message = [u32::try_from(16 + text.len())?.to_ne_bytes(), [0; 4], [0; 4], [0; 4]].concat();
        (message[4], message[6]) = (16, 1);
        message.extend_from_slice(text.as_bytes());
        let sent = self.pair.device.inside(|| {
            let socket = Socket::new(NETLINK_KOBJECT_UEVENT)?;
            socket.send_to(&message, &SocketAddr::new(0, 0), 0)
        });
        Ok(sent.map(drop)?)
    }
}

/// The clock on the wall.
impl Stage {
    /// The device is where it is this time of day; returns when it knows.
    pub(super) fn live_where_it_is(&self, second: i64) -> Result<(), Failed> {
        self.localtime.live(second - zone::second_of(since_epoch()?))
    }

    /// The same without waiting for that.
    pub(super) fn go_where_it_is(&self, second: i64) -> Result<(), Failed> {
        self.localtime.go(second - zone::second_of(since_epoch()?))
    }

    /// The device is where it will be this time of day in a moment, and knows it.
    pub(super) fn live_where_it_soon_is(&self, second: i64) -> Result<(), Failed> {
        self.localtime.live(second - zone::second_of(soon()?))
    }

    /// Has sent as much today as costs.
    pub(super) fn spend_the_budget(&mut self) -> Result<(), Failed> {
        self.rest().metered(standins::YES)?;
        if self.localtime.is_first_night() {
            self.enqueue("daily")?;
        }
        soon_so(|| {
            let spent = u64::try_from(self.shown("daily", "BudgetUsed")?)?;
            Ok(if spent > 0 { Ok(()) } else { Err("nothing was spent".to_owned()) })
        })
    }

    /// The device is where a day that it has not yet had begins in a moment, and knows it.
    pub(super) fn live_where_midnight_is_soon(&mut self) -> Result<(), Failed> {
        self.localtime.live_before_a_new_day(soon()?)
    }
}

/// What people and apps hold back.
impl Stage {
    /// Nothing starts, for so long.
    pub(super) fn pause(&self, span: Option<Duration>) -> Result<(), Failed> {
        let mut options = Options::new();
        if let Some(span) = span {
            options.insert("until", u64::try_from((since_epoch()? + span).as_micros())?.into());
        }
        self.call("Manager", "Pause", &(options,))
    }

    /// It may again.
    pub(super) fn resume(&mut self) -> Result<(), Failed> {
        self.call("Manager", "Resume", &(Options::new(),))
    }

    /// An app holds everything back.
    pub(super) fn hold(&mut self) -> Result<(), Failed> {
        self.held = Some(self.answer("Manager", "Hold", &("a trial",))?.body().deserialize()?);
        Ok(())
    }

    /// No longer.
    pub(super) fn let_go(&mut self) -> Result<(), Failed> {
        self.held = None;
        Ok(())
    }

    /// Somebody wants it now, whatever these reasons say.
    pub(super) fn sync_now(&self, strategy: &str, waived: &[&str]) -> Result<(), Failed> {
        let waived: Vec<String> = waived.iter().map(|&reason| reason.to_owned()).collect();
        let options = if waived.is_empty() { Options::new() } else { [("override", waived.into())].into() };
        self.call("Manager", "SyncNow", &(strategy, options))
    }

    /// The next task is not to go before one that the server has not answered yet.
    pub(super) fn another_first(&mut self) -> Result<(), Failed> {
        self.gate = Gate::closed();
        let before_answering = Wait::Gate(self.gate.clone());
        self.server.behave_once(Behaviour { before_answering, ..Behaviour::honest() });
        let seen = self.seen();
        let first = self.enqueue("metadata")?;
        self.options.insert("after", vec![first].into());
        self.until_seen(seen + 1)
    }

    /// It does.
    pub(super) fn answer_the_first(&mut self) -> Result<(), Failed> {
        self.gate.open();
        Ok(())
    }
}

/// What the server says.
impl Stage {
    /// The next task is to be sent again in a second.
    pub(super) fn answer_once_with_retry(&mut self) -> Result<(), Failed> {
        let retry = |_: &_| Verdict::Retry { after: Some(1.0), reason: "not now".to_owned() };
        self.server.behave_once(Behaviour::judged(retry));
        Ok(())
    }

    /// The next request is refused, and it is to be asked again in a second.
    pub(super) fn answer_once_with_unavailable(&mut self) -> Result<(), Failed> {
        let headers = vec![("Retry-After".to_owned(), "1".to_owned())];
        let fault = Fault::Answer { status: 503, headers, body: Vec::new() };
        self.server.behave_once(Behaviour::fault(fault));
        Ok(())
    }

    /// Only who shows the next secret is served where secrets are asked for.
    pub(super) fn another_secret(&mut self) -> Result<(), Failed> {
        self.secrets += 1;
        let wanted = format!("Bearer {}", self.secrets);
        self.server.behave(Behaviour::censored(move |head, _| {
            let shown = head.headers.get("authorization");
            if shown == Some(&wanted) { Fault::No } else { Fault::status(401, "who are you?") }
        }));
        Ok(())
    }

    /// The device is given that.
    pub(super) fn renew_the_secret(&mut self) -> Result<(), Failed> {
        std::fs::write(self.dir.path().join("secret"), self.secrets.to_string())?;
        self.call("Manager", "Reload", &())
    }

    /// Nobody is asked any more.
    pub(super) fn be_honest(&self) {
        self.server.behave(Behaviour::honest());
    }
}

impl Services {
    fn start(address: &str) -> Self {
        let network = standins::networkmanager(address, NO);
        network.quietly(|objects| objects.set(LO, NM_DEVICE, "IpInterface", owned(Pair::UPLINK)));
        let modem = standins::modemmanager(address, HOME);
        // A port of the kind `net`.
        let ports = owned(vec![(Pair::UPLINK, 2u32)]);
        modem.quietly(|objects| objects.set(MODEM_PATH, MODEM, "Ports", ports));
        let (profiles, logind) = (standins::profiles(address, "balanced"), standins::logind(address));
        Self { network, modem, profiles, logind }
    }

    /// The few looks in a row that the daemon has at a service are for bursts, and trials are none.
    fn rest(&self) {
        thread::sleep(Duration::from_millis(300));
    }
}

/// A row of Explain.
type Row = (String, u64, String, HashMap<String, OwnedVariant>);

/// What the probe finds where nobody is in the way.
fn internet() -> Behaviour {
    Behaviour::fault(Fault::status(204, ""))
}

fn configuration(server: &Server, probe: &Server, dir: &Path, link: &str) -> String {
    let [server, probe] = [server, probe].map(|server| format!("http://{NAME}:{}", server.address().port()));
    format!(
        "[backend.main]\nurl = \"{server}/items\"\n[backend.vault]\nurl = \"{server}/items\"\ntoken_file = \"{}\"\n\
         [network]\nprobe_url = \"{probe}/\"\n[[network.interface]]\nmatch = \"{}\"\ntype = \"{link}\"\n{STRATEGIES}",
        dir.join("secret").display(),
        Pair::UPLINK,
    )
}

fn write(file: &Path, text: &str) -> Result<(), Failed> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(file, text)?)
}

/// Looks until it is so; else why not.
fn soon_so(look: impl Fn() -> Result<Result<(), String>, Failed>) -> Result<(), Failed> {
    let deadline = Instant::now() + HANG;
    loop {
        match look()? {
            Ok(()) => return Ok(()),
            Err(why) if Instant::now() > deadline => return Err(why.into()),
            Err(_not_yet) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn since_epoch() -> Result<Duration, Failed> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

/// A whole second in which there is time enough to get ready, since the hours of time zones are whole seconds apart.
fn soon() -> Result<Duration, Failed> {
    Ok(Duration::from_secs((since_epoch()? + Duration::from_millis(1_600)).as_secs()))
}
