//! The faces as the daemon serves them, on a private bus, over a real store. Only the daemon's loop is a stand-in: it
//! takes commands and answers them from the status it shows, and sends no task anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command as Process, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferryd::bus::{Bus, BusAddress, Command, Ports};
use ferryd::model::{
    Access, Bandwidth, BatteryFloor, Block, Conditions, Config, Counts, Device, Kind, Limits, ManagerState, Moment,
    Network, NetworkConfig, NetworkNeed, Now, Pause, Power, Quotas, Reason, Status, StoreConfig, StoreNews, Strategy,
    StrategyName, StrategyStatus, TaskNews, WallTime, Window,
};
use ferryd::store::{Options, Store};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

use super::bus::PrivateBus;

/// The Wi-Fi network whose radio never tells of its signal, and how strong that of any other is.
pub(crate) const SILENT: &str = "silent";
pub(crate) const STRENGTH: u32 = 61;

/// Everything a test of the faces needs.
pub(crate) struct Faces {
    pub(crate) bus: PrivateBus,
    pub(crate) store: Store,
    pub(crate) status: watch::Sender<Arc<Status>>,
    pub(crate) config: watch::Sender<Arc<Config>>,
    /// Commands that the loop took, as text.
    pub(crate) commands: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<thread::JoinHandle<()>>,
    _dir: TempDir,
}

impl Faces {
    /// Serves on a bus of its own.
    pub(crate) fn serve() -> Self {
        Self::serve_on(PrivateBus::start())
    }

    /// Serves on this bus, in a thread with a runtime of its own, as the daemon does.
    pub(crate) fn serve_on(bus: PrivateBus) -> Self {
        let dir = TempDir::with_prefix("ferry-faces-").expect("a temporary directory");
        let config = config();
        let options = Options {
            quotas: config.limits.quotas,
            keep_done: config.store.keep_done,
            reserve: config.store.reserve,
            backoff_cap: config.limits.backoff_cap,
        };
        let (changes, changed) = mpsc::unbounded_channel();
        let news = move |news: StoreNews| {
            for change in news.changes {
                let _ = changes.send(TaskNews::Changed(change));
            }
        };
        let (store, _) = Store::open(dir.path(), options, now().wall, 1, news).expect("a store");
        let (status, status_seen) = watch::channel(Arc::new(status(&config)));
        let (config, config_seen) = watch::channel(Arc::new(config));
        let commands = Arc::new(Mutex::new(Vec::new()));
        let (to_loop, mut orders) = mpsc::channel(16);
        let ports = Ports {
            store: store.clone(),
            commands: to_loop,
            status: status_seen,
            config: config_seen,
            changes: changed,
            now,
        };
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let address = BusAddress::At(bus.address().to_owned());
        let (shown, taken) = (status.clone(), commands.clone());
        let served = thread::Builder::new().name("faces".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let bus = Bus::serve(address, ports).await.expect("served");
                ready.send(()).expect("the test waits");
                let orders = async {
                    while let Some(command) = orders.recv().await {
                        obey(command, &shown, &taken);
                    }
                };
                tokio::select! {
                    _ = stopped => bus.close().await,
                    () = bus.lost() => {}
                    () = orders => {}
                }
            });
        });
        let served = served.expect("a thread");
        is_ready.recv_timeout(Duration::from_secs(20)).expect("the faces are served");
        Self { bus, store, status, config, commands, stop: Some(stop), served: Some(served), _dir: dir }
    }

    /// Ports for a second daemon, whose loop answers nothing.
    pub(crate) fn other_ports(&self) -> Ports {
        Ports {
            store: self.store.clone(),
            commands: mpsc::channel(1).0,
            status: self.status.subscribe(),
            config: self.config.subscribe(),
            changes: mpsc::unbounded_channel().1,
            now,
        }
    }

    /// A client's connection to the bus.
    pub(crate) async fn client(&self) -> zbus::Connection {
        client(self.bus.address()).await
    }

    /// Changes what the daemon shows.
    pub(crate) fn show(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| change(Arc::make_mut(status)));
    }

    /// Runs `busctl` as an admin would.
    pub(crate) fn busctl(&self, arguments: &[&str]) -> Output {
        busctl(self.bus.address()).args(arguments).output().expect("busctl (Debian package systemd) must be installed")
    }

    /// The standard output of `busctl call` on the root object, or the text of its error.
    pub(crate) fn call(&self, interface: &str, arguments: &[&str]) -> Result<String, String> {
        let interface = format!("org.ferryd.Ferry1.{interface}");
        let output =
            self.busctl(&[&["call", "org.ferryd.Ferry1", "/org/ferryd/Ferry1", &interface], arguments].concat());
        said(&output)
    }

    /// Leaves the bus as the daemon does at its end.
    pub(crate) fn close(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.join();
    }

    /// Waits for the thread that serves.
    pub(crate) fn join(&mut self) {
        if let Some(served) = self.served.take() {
            served.join().expect("the faces must not panic");
        }
    }
}

impl Drop for Faces {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        self.close();
    }
}

/// A connection to the bus at `address`.
pub(crate) async fn client(address: &str) -> zbus::Connection {
    zbus::connection::Builder::address(address).build().await.expect("a connection")
}

/// `busctl` at `address`.
pub(crate) fn busctl(address: &str) -> Process {
    let mut command = Process::new("busctl");
    command.arg(format!("--address={address}")).env("LC_ALL", "C");
    command
}

/// What a command said: its output, or its error.
pub(crate) fn said(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Both clocks.
pub(crate) fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let wall = WallTime::from_micros(u64::try_from(wall.as_micros()).expect("before 586912"));
    Now { moment: Moment::since_boot(Duration::from_secs(1)), wall }
}

fn obey(command: Command, status: &watch::Sender<Arc<Status>>, taken: &Mutex<Vec<String>>) {
    let pause = |strategy: Option<StrategyName>, pause: Option<Pause>| {
        status.send_modify(|status| {
            let status = Arc::make_mut(status);
            match strategy {
                None => status.pause = pause,
                Some(name) => status.strategies.get_mut(&name).expect("a strategy").pause = pause,
            }
        });
    };
    let text = match command {
        Command::Pause { strategy, pause: until, reply } => {
            let text = format!("pause {strategy:?} {until:?}");
            pause(strategy, Some(until));
            reply.send(Ok(())).map(|()| text).unwrap_or_default()
        }
        Command::Resume { strategy, reply } => {
            let text = format!("resume {strategy:?}");
            pause(strategy, None);
            reply.send(Ok(())).map(|()| text).unwrap_or_default()
        }
        Command::Reload { reply } => {
            let _ = reply.send(Err("ferryd.toml:3: limits.payload: 7 is too small".into()));
            "reload".into()
        }
        Command::SyncNow { strategy, reply } => {
            let _ = reply.send(());
            format!("sync now {strategy:?}")
        }
        Command::Hold { wanted, reply } => {
            let _ = reply.send(Ok(std::io::pipe().expect("a pipe").1.into()));
            format!("hold {}", wanted.reason)
        }
        Command::Measure { reply } => {
            let _ = reply.send(Ok(()));
            "measure".into()
        }
        Command::ReadRadios { reply } => {
            if status.borrow().network.ssid == SILENT {
                std::mem::forget(reply);
            } else {
                status.send_modify(|status| Arc::make_mut(status).network.strength = STRENGTH);
                let _ = reply.send(());
            }
            "read radios".into()
        }
        Command::Explain { task, assume, reply } => {
            let text = format!("explain {} {assume:?}", task.id);
            let offline = Block {
                reason: Reason::Offline,
                since: WallTime::from_micros(1_000_000),
                clears: "a route to the backend".into(),
                detail: BTreeMap::from([("interface".into(), "wlan0".into())]),
            };
            let blocks = if assume.connected == Some(true) { vec![] } else { vec![offline] };
            let _ = reply.send(blocks);
            text
        }
    };
    taken.lock().expect("no panic").push(text);
}

/// The shipped strategies, small quotas, and no backend.
pub(crate) fn config() -> Config {
    let strategies = [("metadata", Kind::Json, 1), ("photo", Kind::File, 2), ("analytics", Kind::Json, 3)];
    Config {
        device: Device { name: "test".into() },
        backends: BTreeMap::new(),
        strategies: strategies.into_iter().map(|(name, kind, priority)| strategy(name, kind, priority)).collect(),
        network: NetworkConfig::default(),
        store: StoreConfig { keep_done: Duration::from_secs(3600), reserve: 1 << 20 },
        limits: Limits {
            max_concurrent: 3,
            backoff_cap: Duration::from_secs(900),
            payload: 64 << 10,
            payload_depth: 64,
            batch_items: 500,
            batch_bytes: 8 << 20,
            hold_time: Duration::from_secs(900),
            quotas: Quotas { tasks: 100_000, bytes: 256 << 20, subscribers: 16, holds: 4 },
        },
        access: Access { admin_uids: BTreeSet::new(), admin_gids: BTreeSet::new() },
    }
}

/// A strategy by its name.
pub(crate) fn strategy(name: &str, kind: Kind, priority: u32) -> (StrategyName, Strategy) {
    let name = StrategyName::new(name).expect("a name");
    let conditions = Conditions {
        network: NetworkNeed::Any,
        roaming: true,
        charging: false,
        min_battery: BatteryFloor::default(),
        heed_power_save: false,
        heed_slow_link: false,
        window: Window::default(),
        metered_budget: None,
    };
    let strategy = Strategy {
        name: name.clone(),
        backend: None,
        kind,
        priority,
        batch: 50,
        max_attempts: 5,
        multiplier: 2.0,
        conditions,
        max_wait: None,
        randomized_delay: Duration::ZERO,
        max_rate: None,
        strip_gps: false,
    };
    (name, strategy)
}

fn status(config: &Config) -> Status {
    let strategy = |(name, strategy): (&StrategyName, &Strategy)| {
        let status = StrategyStatus {
            priority: strategy.priority,
            counts: Counts::default(),
            blocked: vec![Reason::Offline],
            next_attempt: None,
            pause: None,
            budget: None,
        };
        (name.clone(), status)
    };
    Status {
        state: ManagerState::Idle,
        pause: None,
        blocked: vec![Reason::Offline],
        next_wake: Some(("task-due", WallTime::from_micros(7))),
        holds: 0,
        transfers: 0,
        running: BTreeMap::new(),
        network: Network::none(),
        bandwidth: Bandwidth::unknown(),
        power: Power::mains(),
        strategies: config.strategies.iter().map(strategy).collect(),
    }
}
