//! NetworkManager (its D-Bus API reference, `nm-dbus-interface.h`): whether the bytes of each device cost money, and how far
//! the network reaches where its own check is switched on.

use std::collections::BTreeMap;

use zbus::OwnedObjectPath;

use super::follow::Source;
use super::line::{Ear, Line, Properties, Service, ServiceError, Unanswered, nonsense};
use crate::model::{Connectivity, Metered};

const NAME: &str = "org.freedesktop.NetworkManager";
const PATH: &str = "/org/freedesktop/NetworkManager";
const DEVICE: &str = "org.freedesktop.NetworkManager.Device";

/// More devices than any machine has; those beyond are not asked after.
const MOST_DEVICES: usize = 64;

/// Of its chatter only what concerns us: not the strength of access points, not statistics.
pub(super) static SERVICE: Service = Service {
    names: &[NAME],
    paths: &[PATH],
    hints: &[
        "type='signal',sender='org.freedesktop.NetworkManager',path='/org/freedesktop/NetworkManager',\
         interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',arg0='org.freedesktop.NetworkManager'",
        "type='signal',sender='org.freedesktop.NetworkManager',path_namespace='/org/freedesktop/NetworkManager/Devices',\
         interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',arg0='org.freedesktop.NetworkManager.Device'",
    ],
};

/// What NetworkManager says; nothing if it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkManager {
    /// Whether the bytes of an interface cost money, by its name; only where it knows.
    pub metered: BTreeMap<String, Metered>,
    /// How far the network reaches; `None` where its check is off.
    pub connectivity: Option<Connectivity>,
}

#[derive(Debug)]
pub(super) struct Reading;

impl Source for Reading {
    type Word = NetworkManager;

    async fn read(&self, line: &Line, ear: &Ear) -> Result<NetworkManager, Unanswered> {
        let mut manager = line.properties(ear, NAME, PATH, NAME).await?;
        let devices: Vec<OwnedObjectPath> = manager.take("Devices")?;
        let mut metered = BTreeMap::new();
        for device in devices.iter().take(MOST_DEVICES) {
            match line.properties(ear, NAME, device.as_str(), DEVICE).await {
                Ok(device) => metered.extend(metering(device)?),
                // It was unplugged meanwhile, which is hinted at.
                Err(Unanswered::NoObject) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(NetworkManager { metered, connectivity: connectivity(manager)? })
    }
}

/// `NMConnectivityState`, where it is looked after.
fn connectivity(mut manager: Properties) -> Result<Option<Connectivity>, ServiceError> {
    if !manager.take::<bool>("ConnectivityCheckEnabled")? {
        return Ok(None);
    }
    match manager.take("Connectivity")? {
        0_u32 => Ok(Some(Connectivity::Unknown)),
        1 => Ok(Some(Connectivity::None)),
        2 => Ok(Some(Connectivity::Portal)),
        3 => Ok(Some(Connectivity::Limited)),
        4 => Ok(Some(Connectivity::Full)),
        other => Err(nonsense("Connectivity", other)),
    }
}

/// The interface that carries a device's bytes, and `NMMetered` of it.
fn metering(mut device: Properties) -> Result<Option<(String, Metered)>, ServiceError> {
    let metered = match device.take("Metered")? {
        0_u32 => return Ok(None),
        1 => Metered::Yes,
        2 => Metered::No,
        3 => Metered::GuessYes,
        4 => Metered::GuessNo,
        other => return Err(nonsense("Metered", other)),
    };
    // A modem's bytes go by another interface than the one by which it is controlled.
    let mut interface: String = device.take("IpInterface")?;
    if interface.is_empty() {
        interface = device.take("Interface")?;
    }
    Ok((!interface.is_empty()).then_some((interface, metered)))
}
