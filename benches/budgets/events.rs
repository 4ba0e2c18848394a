//! Promise 3: from the event that clears a condition to the attempt, as the server sees it, for each kind of event. Each
//! trial takes the condition away, hands a task over, waits until it is said to wait for just that, and gives it back.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use ::ferryd::demo::{Behaviour, Log, Server};
use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use netlink_sys::{Socket, SocketAddr};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zbus::{Connection, OwnedVariant, Variant};

use crate::bus::Bus;
use crate::ferryd::{self, Ferryd};
use crate::netns::Pair;
use crate::report::{Budget, Figure, millis};
use crate::{Effort, Failed, place, rounds};

/// What the promise allows beside the round trips of DNS, TCP and TLS, in seconds.
const ALLOWED: f64 = 0.3;
/// Far beyond what anything here takes.
const HANG: Duration = Duration::from_secs(60);
const ROOT: &str = "/org/ferryd/Ferry1";
const CONFIG: &str = "[strategy.metadata]\ncharging = true\n[strategy.analytics]\nmin_battery = 30\n";

/// A kind of event.
struct Kind {
    name: &'static str,
    /// Whose task waits for it, and with which reason.
    strategy: &'static str,
    reason: &'static str,
    block: fn(&mut Stage) -> Result<(), Failed>,
    clear: fn(&mut Stage) -> Result<(), Failed>,
}

const KINDS: [Kind; 6] = [
    Kind {
        name: "an interface comes up",
        strategy: "metadata",
        reason: "offline",
        block: |stage| stage.cut("link set uplink down"),
        clear: |stage| stage.ip("link set uplink up"),
    },
    Kind {
        name: "an address comes",
        strategy: "metadata",
        reason: "offline",
        block: |stage| stage.cut("address flush dev uplink"),
        clear: |stage| stage.ip("address add 10.77.0.2/24 dev uplink"),
    },
    Kind {
        name: "a charger is plugged in",
        strategy: "metadata",
        reason: "not-charging",
        block: |stage| stage.supply("AC/online", "0"),
        clear: |stage| stage.supply("AC/online", "1"),
    },
    Kind {
        name: "a battery is charged",
        strategy: "analytics",
        reason: "low-battery",
        block: |stage| {
            stage.supply("AC/online", "0")?;
            stage.supply("BAT0/capacity", "20")
        },
        clear: |stage| stage.supply("BAT0/capacity", "60"),
    },
    Kind {
        name: "a pause ends by Resume",
        strategy: "metadata",
        reason: "paused",
        block: |stage| stage.call("Manager", "Pause", &(none(),)),
        clear: |stage| stage.call("Manager", "Resume", &(none(),)),
    },
    Kind {
        name: "a hold is let go",
        strategy: "metadata",
        reason: "held",
        block: |stage| stage.hold(),
        clear: |stage| {
            stage.held = None;
            Ok(())
        },
    },
];

/// A device with its server, on one cable.
struct Stage {
    runtime: Runtime,
    connection: Connection,
    server: Server,
    supplies: PathBuf,
    held: Option<zbus::OwnedFd>,
    ferryd: Ferryd,
    _bus: Bus,
    _dir: TempDir,
    /// Last, so that the programs on it go first.
    pair: Pair,
}

/// Measures the row.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Figure>, Failed> {
    let trials = if effort == Effort::Full { 100 } else { 5 };
    let mut stage = Stage::new()?;
    let usual: Vec<f64> = (0..trials).map(|_| stage.usual()).collect::<Result<_, _>>()?;
    let usual = rounds::median(&usual);
    let mut figures = Vec::new();
    for kind in &KINDS {
        stage.supply("AC/online", "1")?;
        let spans: Vec<f64> = (0..trials).map(|_| stage.trial(kind)).collect::<Result<_, _>>()?;
        let worst = spans.iter().copied().fold(0.0, f64::max);
        let allowed = ALLOWED + usual;
        let median = millis(rounds::median(&spans));
        figures.push(Figure {
            what: format!("{}: until the attempt, worst of {trials} (median {median})", kind.name),
            measured: millis(worst),
            limit: millis(allowed),
            ratio: worst / allowed,
            budget: Budget::AtMost(1.0),
        });
    }
    stage.ferryd.stop()?;
    Ok(figures)
}

impl Stage {
    fn new() -> Result<Self, Failed> {
        let pair = Pair::new();
        let listener = pair.server.inside(|| TcpListener::bind((Pair::SERVER, 0)))?;
        let server = Server::start(listener, Behaviour::honest())?;
        let (bus, dir) = (Bus::start()?, place::directory()?);
        let supplies = dir.path().join("supplies");
        for (file, value) in [
            ("AC/type", "Mains"),
            ("AC/online", "1"),
            ("BAT0/type", "Battery"),
            ("BAT0/status", "Discharging"),
            ("BAT0/capacity", "60"),
        ] {
            let file = supplies.join(file);
            std::fs::create_dir_all(file.parent().unwrap_or(&supplies))?;
            std::fs::write(file, value)?;
        }
        let config = format!("[backend.main]\nurl = \"http://{}/items\"\n{CONFIG}", server.address());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ferryd = runtime.block_on(Ferryd::supplied(&pair.device, &bus, dir.path(), &config, &supplies))?;
        let connection = runtime.block_on(bus.connect())?;
        Ok(Self { runtime, connection, server, supplies, held: None, ferryd, _bus: bus, _dir: dir, pair })
    }

    /// From the call that hands a task over to its attempt, with nothing in its way.
    fn usual(&mut self) -> Result<f64, Failed> {
        let (seen, began) = (self.seen(), Instant::now());
        self.enqueue("metadata")?;
        self.until_seen(seen)?;
        Ok(began.elapsed().as_secs_f64())
    }

    fn trial(&mut self, kind: &Kind) -> Result<f64, Failed> {
        (kind.block)(self)?;
        let id = self.enqueue(kind.strategy)?;
        self.until_waits(&id, kind.reason)?;
        let (seen, began) = (self.seen(), Instant::now());
        (kind.clear)(self)?;
        self.until_seen(seen)?;
        Ok(began.elapsed().as_secs_f64())
    }

    fn seen(&self) -> usize {
        self.server.log(|log| log.items().len())
    }

    fn until_seen(&self, before: usize) -> Result<(), Failed> {
        let heard = self.server.wait_until(|log: &Log| log.items().len() > before, HANG);
        if heard { Ok(()) } else { Err("no attempt".into()) }
    }

    fn until_waits(&self, id: &str, reason: &str) -> Result<(), Failed> {
        type Rows = Vec<(String, u64, String, HashMap<String, OwnedVariant>)>;
        let deadline = Instant::now() + HANG;
        loop {
            let rows: Rows = self.answer("Tasks", "Explain", &(id, none()))?.body().deserialize()?;
            match &rows[..] {
                [(found, ..)] if found == reason => return Ok(()),
                _ if Instant::now() > deadline => return Err(format!("no {reason}, but {rows:?}").into()),
                _ => thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    fn enqueue(&self, strategy: &str) -> Result<String, Failed> {
        Ok(self.answer("Tasks", "Enqueue", &(strategy, "{}", none()))?.body().deserialize()?)
    }

    fn hold(&mut self) -> Result<(), Failed> {
        self.held = Some(self.answer("Manager", "Hold", &("a trial",))?.body().deserialize()?);
        Ok(())
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

    fn ip(&self, arguments: &str) -> Result<(), Failed> {
        self.pair.device.ip(arguments);
        Ok(())
    }

    /// Takes the link away. More than one cut a second would be a link that flaps, which must stay for a while before it
    /// counts (`docs/network.md`).
    fn cut(&self, arguments: &str) -> Result<(), Failed> {
        thread::sleep(Duration::from_secs(1));
        self.ip(arguments)
    }

    /// Changes a file of the supplies, and has the kernel tell of it (lib/kobject_uevent.c: root of a network namespace may
    /// inject).
    fn supply(&self, file: &str, value: &str) -> Result<(), Failed> {
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

fn none() -> HashMap<&'static str, Variant<'static>> {
    HashMap::new()
}
