//! A device's battery and charger.

use crate::model::{Battery, Moment, Power};

/// Percent an hour on battery, and on the charger.
const DRAIN: f64 = 7.0;
const CHARGE: f64 = 50.0;

/// One battery, or none.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    present: bool,
    plugged: bool,
    saver: bool,
    /// The percentage at `since`.
    percent: f64,
    since: Moment,
}

impl Cell {
    /// A device that hangs on the mains.
    pub(super) fn mains() -> Self {
        Self { present: false, plugged: true, saver: false, percent: 100.0, since: Moment::default() }
    }

    /// A device with a battery that is so full at the start.
    pub(super) fn battery(percent: f64) -> Self {
        Self { present: true, plugged: false, percent, ..Self::mains() }
    }

    /// The charger is plugged in, or pulled.
    pub(super) fn plug(&mut self, plugged: bool, now: Moment) {
        self.percent = self.percent_at(now);
        self.since = now;
        self.plugged = plugged;
    }

    /// Power-save mode is switched on, or off.
    pub(super) fn save(&mut self, saver: bool) {
        self.saver = saver;
    }

    /// What a sense reads.
    pub(super) fn read(&self, now: Moment) -> Power {
        if !self.present {
            return Power { power_save: self.saver, ..Power::mains() };
        }
        let percent = self.percent_at(now);
        let battery = Battery::Percent(percent);
        let charging = self.plugged && percent < 100.0;
        Power { external: self.plugged, charging, battery, reached: battery.reaches(), power_save: self.saver }
    }

    fn percent_at(&self, now: Moment) -> f64 {
        let hours = now.saturating_since(self.since).as_secs_f64() / 3_600.0;
        let change = if self.plugged { CHARGE } else { -DRAIN };
        (self.percent + change * hours).clamp(1.0, 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::at;
    use super::*;

    #[test]
    fn it_drains_and_fills() {
        let mut cell = Cell::battery(50.0);
        let read = |cell: &Cell, hours: f64| cell.read(at(hours * 3_600.0)).battery;
        assert_eq!(read(&cell, 2.0), Battery::Percent(36.0));
        cell.plug(true, at(7_200.0));
        assert_eq!(read(&cell, 3.0), Battery::Percent(86.0));
        assert!(cell.read(at(10_800.0)).charging && !cell.read(at(20_000.0)).charging, "full");
        assert_eq!(Cell::mains().read(at(1e6)), Power::mains());
    }
}
