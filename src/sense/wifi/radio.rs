//! What nl80211 is asked and what its answers say (linux/nl80211.h).

use std::collections::BTreeMap;

use netlink_packet_core::{DecodeError, parse_i8, parse_u32};

use super::super::netlink::{Questions, Trouble, Unanswered, for_each_attribute};
use super::super::text;
use super::Radios;
use super::family::{Family, HEADER, request};
use crate::model::Radio;

// linux/nl80211.h
const NL80211_CMD_GET_INTERFACE: u8 = 5;
const NL80211_CMD_GET_STATION: u8 = 17;
const NL80211_ATTR_IFINDEX: u16 = 3;
const NL80211_ATTR_IFNAME: u16 = 4;
const NL80211_ATTR_IFTYPE: u16 = 5;
const NL80211_ATTR_STA_INFO: u16 = 21;
const NL80211_ATTR_WIPHY_FREQ: u16 = 38;
const NL80211_ATTR_SSID: u16 = 52;
const NL80211_ATTR_MLO_LINKS: u16 = 312;
const NL80211_STA_INFO_SIGNAL: u16 = 7;
const NL80211_IFTYPE_ADHOC: u32 = 1;
const NL80211_IFTYPE_STATION: u32 = 2;
const NL80211_IFTYPE_P2P_CLIENT: u32 = 8;

/// A Wi-Fi interface that may be in somebody's network; one that makes a network of its own is not.
#[derive(Debug, PartialEq, Eq)]
struct Interface {
    index: u32,
    name: String,
    ssid: Option<String>,
    frequency: u32,
}

/// Whoever an interface speaks with: its access point.
#[derive(Debug, PartialEq, Eq)]
struct Station {
    /// In percent, 0 if unknown.
    strength: u32,
}

/// Reads which network each interface is in.
pub(super) fn read(family: &Family, questions: &mut Questions) -> Result<Radios, Unanswered> {
    let interfaces = questions.dump(family.id, &request(NL80211_CMD_GET_INTERFACE), Interface::parse);
    let interfaces = interfaces.map_err(|trouble| trouble.about("Wi-Fi interfaces"))?;
    let mut radios = BTreeMap::new();
    for interface in interfaces {
        let stations = stations(family, questions, interface.index)?;
        let name = interface.name.clone();
        radios.extend(radio(interface, &stations).map(|radio| (name, radio)));
    }
    Ok(radios)
}

fn stations(family: &Family, questions: &mut Questions, interface: u32) -> Result<Vec<Station>, Unanswered> {
    let mut wanted = request(NL80211_CMD_GET_STATION);
    wanted.extend(8_u16.to_ne_bytes());
    wanted.extend(NL80211_ATTR_IFINDEX.to_ne_bytes());
    wanted.extend(interface.to_ne_bytes());
    match questions.dump(family.id, &wanted, Station::parse) {
        Ok(stations) => Ok(stations),
        // It has gone, is switched off, or its driver cannot tell: then there is no signal to show.
        Err(Trouble::Failed(_)) => Ok(Vec::new()),
        Err(trouble) => Err(trouble.about("Wi-Fi stations")),
    }
}

/// The network that an interface is in, if it is in one. It names it, or at least hears somebody.
fn radio(interface: Interface, stations: &[Station]) -> Option<Radio> {
    let strength = stations.iter().map(|station| station.strength).max();
    (interface.ssid.is_some() || strength.is_some()).then(|| Radio {
        ssid: interface.ssid.unwrap_or_default(),
        strength: strength.unwrap_or(0),
        frequency: interface.frequency,
    })
}

impl Interface {
    /// Reads an NL80211_CMD_NEW_INTERFACE; `None` for one that has no name (it carries no traffic) or whose kind is in
    /// nobody's network.
    fn parse(message: &[u8]) -> Result<Option<Self>, DecodeError> {
        let (mut index, mut name, mut kind, mut ssid, mut frequency) = (None, None, 0, None, None);
        for_each_attribute(message, HEADER, |attribute, value| {
            match attribute {
                NL80211_ATTR_IFINDEX => index = Some(parse_u32(value)?),
                NL80211_ATTR_IFNAME => name = Some(text::name(value)),
                NL80211_ATTR_IFTYPE => kind = parse_u32(value)?,
                NL80211_ATTR_SSID => ssid = Some(text::shown(value)).filter(|ssid| !ssid.is_empty()),
                NL80211_ATTR_WIPHY_FREQ => frequency = Some(parse_u32(value)?),
                // Over several links at once there is one frequency a link: the first is shown.
                NL80211_ATTR_MLO_LINKS => for_each_attribute(value, 0, |_link, link| {
                    for_each_attribute(link, 0, |attribute, value| {
                        if attribute == NL80211_ATTR_WIPHY_FREQ && frequency.is_none() {
                            frequency = Some(parse_u32(value)?);
                        }
                        Ok(())
                    })
                })?,
                _ => {}
            }
            Ok(())
        })?;
        let guest = [NL80211_IFTYPE_ADHOC, NL80211_IFTYPE_STATION, NL80211_IFTYPE_P2P_CLIENT].contains(&kind);
        let (Some(index), Some(name), true) = (index, name, guest) else { return Ok(None) };
        Ok(Some(Self { index, name, ssid, frequency: frequency.unwrap_or(0) }))
    }
}

impl Station {
    /// Reads an NL80211_CMD_NEW_STATION.
    fn parse(message: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut strength = 0;
        for_each_attribute(message, HEADER, |attribute, value| {
            if attribute == NL80211_ATTR_STA_INFO {
                for_each_attribute(value, 0, |attribute, value| {
                    if attribute == NL80211_STA_INFO_SIGNAL {
                        strength = percent(parse_i8(value)?);
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        Ok(Some(Self { strength }))
    }
}

/// From dBm to percent, linear from -100 (0 %) to -50 (100 %): the definition of `wlanSignalQuality` in Microsoft's
/// `WLAN_ASSOCIATION_ATTRIBUTES`, which most programs show. What is heard at all is shown as 1 % at least, since 0 is
/// unknown. Drivers that cannot measure dBm give a positive number up to 100 (`CFG80211_SIGNAL_TYPE_UNSPEC`).
fn percent(signal: i8) -> u32 {
    let signal = i32::from(signal);
    let percent = if signal > 0 { signal } else { 2 * (signal + 100) };
    percent.clamp(1, 100).unsigned_abs()
}

/// The messages here are built byte by byte after linux/nl80211.h, but for those that say so: the kernel that tests run on may
/// have no Wi-Fi. What is recorded comes from a virtual device with `mac80211_hwsim`, Linux 6.1.
#[cfg(test)]
mod tests {
    use super::super::family::tests::{attribute, message, nest};
    use super::*;
    use crate::fuzz::fuzz;

    const NEW_INTERFACE: u8 = 7;
    const NEW_STATION: u8 = 19;

    fn number(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_ne_bytes())
    }

    /// As `nl80211_send_iface` builds it.
    fn interface(kind: u32, more: &[Vec<u8>]) -> Vec<u8> {
        let usual = [
            number(NL80211_ATTR_IFINDEX, 3),
            attribute(NL80211_ATTR_IFNAME, b"wlan0\0"),
            number(1, 0),
            number(NL80211_ATTR_IFTYPE, kind),
            attribute(153, &1_u64.to_ne_bytes()),
            attribute(6, &[2, 0, 0, 0, 0, 1]),
        ];
        message(NEW_INTERFACE, &[&usual[..], more].concat())
    }

    /// As `nl80211_send_station` builds it: numbers of bytes and packets, then the signal.
    fn station(signal: &[Vec<u8>]) -> Vec<u8> {
        let info = [&[number(1, 40), number(2, 1200), number(3, 3400)][..], signal].concat();
        message(
            NEW_STATION,
            &[number(NL80211_ATTR_IFINDEX, 3), attribute(6, &[2, 0, 0, 0, 0, 2]), nest(NL80211_ATTR_STA_INFO, &info)],
        )
    }

    fn signal(dbm: i8) -> Vec<u8> {
        attribute(NL80211_STA_INFO_SIGNAL, &dbm.to_ne_bytes())
    }

    fn seen(interface: &[u8], stations: &[Vec<u8>]) -> Option<Radio> {
        let stations: Vec<_> = stations.iter().filter_map(|message| Station::parse(message).unwrap()).collect();
        radio(Interface::parse(interface).unwrap()?, &stations)
    }

    #[test]
    fn an_interface_in_a_network_shows_its_name_strength_and_frequency() {
        let connected = interface(
            NL80211_IFTYPE_STATION,
            &[number(NL80211_ATTR_WIPHY_FREQ, 5180), attribute(NL80211_ATTR_SSID, "Café".as_bytes())],
        );
        let radio = Radio { ssid: "Café".to_owned(), strength: 86, frequency: 5180 };
        assert_eq!(seen(&connected, &[station(&[signal(-57)])]), Some(radio.clone()));
        assert_eq!(seen(&connected, &[]), Some(Radio { strength: 0, ..radio.clone() }));
        assert_eq!(seen(&connected, &[station(&[])]), Some(Radio { strength: 0, ..radio }));
        let nameless = interface(NL80211_IFTYPE_STATION, &[number(NL80211_ATTR_WIPHY_FREQ, 2412)]);
        assert_eq!(
            seen(&nameless, &[station(&[signal(-90)])]),
            Some(Radio { ssid: String::new(), strength: 20, frequency: 2412 })
        );
    }

    #[test]
    fn an_interface_of_a_real_kernel_shows_its_network() {
        let recorded = include_bytes!("../../../tests/corpora/nl80211/recorded-interface-1");
        let station = include_bytes!("../../../tests/corpora/nl80211/recorded-station-0");
        let radio = Radio { ssid: "lab-ap".to_owned(), strength: 100, frequency: 2437 };
        assert_eq!(seen(recorded, &[station.to_vec()]), Some(radio));
        let nameless = include_bytes!("../../../tests/corpora/nl80211/recorded-interface-0");
        assert_eq!(seen(nameless, &[]), None, "a P2P device");
    }

    #[test]
    fn one_that_is_in_none_shows_nothing() {
        assert_eq!(seen(&interface(NL80211_IFTYPE_STATION, &[]), &[]), None);
        let access_point = 3;
        let own =
            interface(access_point, &[attribute(NL80211_ATTR_SSID, b"ours"), number(NL80211_ATTR_WIPHY_FREQ, 2412)]);
        assert_eq!(seen(&own, &[station(&[signal(-40)])]), None);
        let nameless = message(NEW_INTERFACE, &[number(NL80211_ATTR_IFTYPE, 10), attribute(153, &2_u64.to_ne_bytes())]);
        assert_eq!(seen(&nameless, &[]), None, "a P2P device");
    }

    #[test]
    fn over_several_links_the_first_frequency_is_shown() {
        let link = |id: u8, frequency| {
            nest(u16::from(id) + 1, &[attribute(313, &[id]), number(NL80211_ATTR_WIPHY_FREQ, frequency)])
        };
        let links = nest(NL80211_ATTR_MLO_LINKS, &[link(0, 5955), link(1, 2437)]);
        let several = interface(NL80211_IFTYPE_STATION, &[attribute(NL80211_ATTR_SSID, b"x"), links]);
        assert_eq!(seen(&several, &[]).unwrap().frequency, 5955);
    }

    #[test]
    fn what_is_cut_short_is_an_error_or_says_less_and_never_more() {
        let whole = interface(
            NL80211_IFTYPE_STATION,
            &[attribute(NL80211_ATTR_SSID, b"Ferry"), number(NL80211_ATTR_WIPHY_FREQ, 5180)],
        );
        let says = Interface::parse(&whole).unwrap().unwrap();
        for length in 0..whole.len() {
            if let Ok(Some(less)) = Interface::parse(&whole[..length]) {
                assert_eq!((less.index, &less.name), (says.index, &says.name));
                assert!(less.ssid.is_none() || less.ssid == says.ssid, "{length}");
                assert_eq!(less.frequency, 0);
            }
        }
        let whole = station(&[signal(-57)]);
        for length in 0..whole.len() {
            assert!(Station::parse(&whole[..length]).map_or(true, |station| station == Some(Station { strength: 0 })));
        }
    }

    #[test]
    fn an_attribute_of_the_wrong_length_is_an_error() {
        assert!(
            Interface::parse(&interface(NL80211_IFTYPE_STATION, &[attribute(NL80211_ATTR_WIPHY_FREQ, &[1, 2])]))
                .is_err()
        );
        assert!(Station::parse(&station(&[attribute(NL80211_STA_INFO_SIGNAL, &[])])).is_err());
        // A length that is less than the header's own, or more than there is.
        let lies = |length: u16| [&[NEW_INTERFACE, 1, 0, 0][..], &length.to_ne_bytes(), &[4, 0]].concat();
        assert!(Interface::parse(&lies(3)).is_err() && Interface::parse(&lies(200)).is_err());
    }

    #[test]
    fn strength_in_percent() {
        let shown = [-128, -110, -100, -99, -75, -51, -50, -30, 0, 1, 40, 127].map(percent);
        assert_eq!(shown, [1, 1, 1, 2, 50, 98, 100, 100, 100, 1, 40, 100]);
    }

    #[test]
    fn any_answer_is_an_error_or_makes_sense() {
        fuzz!("nl80211", |input: &[u8]| {
            if let Ok(Some(interface)) = Interface::parse(input) {
                assert!(!interface.name.contains(char::is_control) && interface.ssid.as_deref() != Some(""));
            }
            if let Ok(Some(station)) = Station::parse(input) {
                assert!(station.strength <= 100);
            }
        });
    }
}
