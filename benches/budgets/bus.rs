//! A private message bus.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use zbus::{Connection, MatchRule, MessageStream, connection};

use crate::Failed;
use crate::client::next;

const DRIVER: &str = "org.freedesktop.DBus";

/// A `dbus-daemon` of our own, as a device's system bus is, but for the limit of replies a connection may wait for
/// (128 where no configuration says so), which would be what is measured.
const CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy>
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
"#;

/// A bus that ends when it is dropped.
pub(crate) struct Bus {
    process: Child,
    /// Where it listens.
    pub(crate) address: String,
    _dir: TempDir,
}

impl Bus {
    /// Starts one.
    pub(crate) fn start() -> Result<Self, Failed> {
        let dir = tempfile::tempdir()?;
        let config = dir.path().join("bus.conf");
        let socket = dir.path().join("bus");
        std::fs::write(&config, CONFIG.replace("SOCKET", &socket.to_string_lossy()))?;
        let mut process = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("starting dbus-daemon: {error}"))?;
        let mut address = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut address)?;
        }
        Ok(Self { process, address: address.trim().to_owned(), _dir: dir })
    }

    /// A new connection to it.
    pub(crate) async fn connect(&self) -> Result<Connection, Failed> {
        Ok(connection::Builder::address(self.address.as_str()).build().await?)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Hears of one name's coming and going.
pub(crate) struct NameWatch {
    connection: Connection,
    name: &'static str,
    changes: MessageStream,
}

impl NameWatch {
    /// Watches from now on.
    pub(crate) async fn new(bus: &Bus, name: &'static str) -> Result<Self, Failed> {
        let connection = bus.connect().await?;
        let rule = MatchRule::builder().sender(DRIVER).member("NameOwnerChanged").add_arg(name).build()?;
        let changes = MessageStream::for_match_rule(rule, &connection, None).await?;
        Ok(Self { connection, name, changes })
    }

    /// Resolves when the name is owned.
    pub(crate) async fn owned(&mut self) -> Result<(), Failed> {
        let name = self.name;
        let wait = async {
            while !self.is_owned().await? {
                next(&mut self.changes).await?;
            }
            Ok(())
        };
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .map_err(|_| format!("{name} did not come on the bus"))?
    }

    async fn is_owned(&self) -> Result<bool, Failed> {
        let reply = self
            .connection
            .call_method(Some(DRIVER), "/org/freedesktop/DBus", Some(DRIVER), "NameHasOwner", &self.name)
            .await?;
        Ok(reply.body().deserialize()?)
    }
}
