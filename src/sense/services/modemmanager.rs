//! ModemManager (its D-Bus API reference, `ModemManager-enums.h`): whether a modem is in a foreign network.

use std::collections::{BTreeMap, HashMap};

use zbus::{OwnedObjectPath, OwnedVariant};

use super::follow::Source;
use super::line::{Ear, Line, Properties, Question, Service, ServiceError, Unanswered, nonsense};

const NAME: &str = "org.freedesktop.ModemManager1";
const PATH: &str = "/org/freedesktop/ModemManager1";
const MODEM: &str = "org.freedesktop.ModemManager1.Modem";
const MODEM_3GPP: &str = "org.freedesktop.ModemManager1.Modem.Modem3gpp";

/// `MM_MODEM_PORT_TYPE_NET`.
const NET: u32 = 2;

/// Modems that come, go, connect and register; not the quality of their signal.
pub(super) static SERVICE: Service = Service {
    names: &[NAME],
    paths: &[PATH],
    hints: &[
        "type='signal',sender='org.freedesktop.ModemManager1',path='/org/freedesktop/ModemManager1',\
         interface='org.freedesktop.DBus.ObjectManager'",
        "type='signal',sender='org.freedesktop.ModemManager1',path_namespace='/org/freedesktop/ModemManager1/Modem',\
         interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',\
         arg0='org.freedesktop.ModemManager1.Modem.Modem3gpp'",
        "type='signal',sender='org.freedesktop.ModemManager1',path_namespace='/org/freedesktop/ModemManager1/Modem',\
         interface='org.freedesktop.ModemManager1.Modem',member='StateChanged'",
    ],
};

/// Whether the modem behind an interface roams, by the interface's name; only where it is registered.
pub type Roaming = BTreeMap<String, bool>;

#[derive(Debug)]
pub(super) struct Reading;

/// The interfaces of an object, with their properties.
type Object = HashMap<String, HashMap<String, OwnedVariant>>;

impl Source for Reading {
    type Word = Roaming;

    async fn read(&self, line: &Line, ear: &Ear) -> Result<Roaming, Unanswered> {
        let interface = "org.freedesktop.DBus.ObjectManager";
        let question = Question { service: NAME, path: PATH, interface, member: "GetManagedObjects" };
        let answer = line.ask(ear, question, &()).await?;
        let objects: HashMap<OwnedObjectPath, Object> =
            answer.body().deserialize().map_err(|error| nonsense("its modems", error))?;
        let mut roaming = Roaming::new();
        for modem in objects.into_values() {
            roaming.extend(of_modem(modem)?);
        }
        Ok(roaming)
    }
}

/// Each interface that carries a modem's bytes, if it is known whether the modem roams.
fn of_modem(mut modem: Object) -> Result<Vec<(String, bool)>, ServiceError> {
    // Without the second it is locked, or speaks to no network of this kind.
    let (Some(general), Some(network)) = (modem.remove(MODEM), modem.remove(MODEM_3GPP)) else {
        return Ok(Vec::new());
    };
    let Some(roams) = roams(Properties(network).take("RegistrationState")?)? else { return Ok(Vec::new()) };
    let ports: Vec<(String, u32)> = Properties(general).take("Ports")?;
    Ok(ports.into_iter().filter(|(_, kind)| *kind == NET).map(|(name, _)| (name, roams)).collect())
}

/// `MMModem3gppRegistrationState`; `None` while it is in no network.
fn roams(state: u32) -> Result<Option<bool>, ServiceError> {
    match state {
        // At home; for messages only; or where calls are not preferred.
        1 | 6 | 9 => Ok(Some(false)),
        // Roaming, in the same ways.
        5 | 7 | 10 => Ok(Some(true)),
        // Idle, searching, denied, unknown, for emergencies, for restricted local services.
        0 | 2 | 3 | 4 | 8 | 11 => Ok(None),
        other => Err(nonsense("RegistrationState", other)),
    }
}
