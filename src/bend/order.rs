//! What may be asked of a bent network while it runs, a line each; pure. How it is done it must not know.

use std::str::FromStr;
use std::time::Duration;

use crate::config::parse_duration;
use crate::sim::{NotAScenario, Scenario};

/// The longest round trip that may be asked for.
const LONGEST: Duration = Duration::from_secs(60);

/// The rates that may be asked for, in Mbit/s: from a byte's beat to more than a loopback carries.
const SLOWEST: f64 = 0.001;
const FASTEST: f64 = 100_000.0;

/// An order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Order {
    /// Begin this scenario, and forget all that other orders changed.
    Scenario(Scenario),
    /// There is no link until it is mended, whatever the scenario says.
    Cut,
    /// What the scenario says holds again.
    Mend,
    /// Whenever there is a link, it carries so much.
    Rate {
        /// From the client.
        up: Rate,
        /// To the client.
        down: Rate,
    },
    /// Whenever there is a link, a round trip takes so long, without jitter.
    Delay(Duration),
    /// Whenever there is a link, this share of requests comes through: 0 to 1.
    Reliability(f64),
    /// Reset all connections; new ones may come.
    Reset,
    /// Only say what is.
    Status,
}

/// Bytes a second, more than 0; people say Mbit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(u64);

impl Rate {
    /// In bytes a second.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = NotAnOrder;

    fn from_str(text: &str) -> Result<Self, NotAnOrder> {
        let wrong = || NotAnOrder::Rate(text.to_owned());
        let megabits: f64 = text.parse().map_err(|_| wrong())?;
        if !(SLOWEST..=FASTEST).contains(&megabits) {
            return Err(wrong());
        }
        // Exact enough: both ends of the range are far from where a float loses whole numbers.
        Ok(Self((megabits * 1_000_000.0 / 8.0) as u64))
    }
}

/// Why a line is no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnOrder {
    /// Nothing that is known.
    #[error(
        "{0:?} is no order: there are scenario NAME, cut, mend, rate UP DOWN, delay TIME, reliability SHARE, reset \
         and status, without other words behind"
    )]
    Unknown(String),
    /// A scenario that is none.
    #[error(transparent)]
    Scenario(#[from] NotAScenario),
    /// A rate that is none.
    #[error("{0:?} is no rate in Mbit/s between 0.001 and 100000")]
    Rate(String),
    /// A delay that is none.
    #[error("{0}")]
    Delay(String),
    /// A share that is none.
    #[error("{0:?} is no share between 0 and 1")]
    Reliability(String),
}

impl FromStr for Order {
    type Err = NotAnOrder;

    fn from_str(line: &str) -> Result<Self, NotAnOrder> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["scenario", name] => Ok(Self::Scenario(name.parse()?)),
            ["cut"] => Ok(Self::Cut),
            ["mend"] => Ok(Self::Mend),
            ["rate", up, down] => Ok(Self::Rate { up: up.parse()?, down: down.parse()? }),
            ["delay", ref time @ ..] if !time.is_empty() => Ok(Self::Delay(delay(&time.join(" "))?)),
            ["reliability", share] => Ok(Self::Reliability(reliability(share)?)),
            ["reset"] => Ok(Self::Reset),
            ["status"] => Ok(Self::Status),
            _ => Err(NotAnOrder::Unknown(line.trim().to_owned())),
        }
    }
}

fn delay(text: &str) -> Result<Duration, NotAnOrder> {
    let delay = parse_duration(text).map_err(NotAnOrder::Delay)?;
    if delay > LONGEST {
        return Err(NotAnOrder::Delay(format!("{text:?} is longer than a minute")));
    }
    Ok(delay)
}

fn reliability(text: &str) -> Result<f64, NotAnOrder> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| NotAnOrder::Reliability(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_orders() {
        let (up, down) = (Rate(50_000), Rate(6_250_000));
        let table = [
            ("scenario slow_3g", Order::Scenario(Scenario::Slow3g)),
            ("cut", Order::Cut),
            (" mend ", Order::Mend),
            ("rate 0.4 50", Order::Rate { up, down }),
            ("rate 0.001 100000", Order::Rate { up: Rate(125), down: Rate(12_500_000_000) }),
            ("delay 80ms", Order::Delay(Duration::from_millis(80))),
            ("delay 1 s 20 ms", Order::Delay(Duration::from_millis(1_020))),
            ("reliability 0.9", Order::Reliability(0.9)),
            ("reset", Order::Reset),
            ("status", Order::Status),
        ];
        for (line, order) in table {
            assert_eq!(line.parse(), Ok(order), "{line:?}");
        }
    }

    #[test]
    fn what_is_none_is_named() {
        let table = [
            ("", "\"\" is no order"),
            ("dance", "\"dance\" is no order"),
            ("cut now", "\"cut now\" is no order"),
            ("rate 1", "\"rate 1\" is no order"),
            ("delay", "\"delay\" is no order"),
            ("scenario rain", "\"rain\" is no scenario: there are offline"),
            ("rate 1 fast", "\"fast\" is no rate in Mbit/s"),
            ("rate 0 1", "\"0\" is no rate"),
            ("rate 1 NaN", "\"NaN\" is no rate"),
            ("rate inf 1", "\"inf\" is no rate"),
            ("rate -1 1", "\"-1\" is no rate"),
            ("reliability most", "\"most\" is no share"),
            ("reliability 1.01", "\"1.01\" is no share"),
            ("reliability NaN", "\"NaN\" is no share"),
            ("delay soon", "\"soon\" is no duration"),
            ("delay 2 min", "\"2 min\" is longer than a minute"),
        ];
        for (line, words) in table {
            let error = line.parse::<Order>().expect_err(line).to_string();
            assert!(error.contains(words), "{line:?}: {error}");
        }
    }
}
