//! Durations and sizes as people write them: `150ms`, `2s`, `64MiB`.
//!
//! For the settings of adapters: a plain number in a config file leaves open what it counts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// A length of time, written as a whole number and a unit: `us`, `ms`, `s`, `m` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A number of bytes, written as a whole number and a unit: `B`, `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A text that is no quantity of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no {kind}: write a whole number and a unit ({units}), for example {example:?}"
)]
pub struct UnitError {
    text: String,
    kind: &'static str,
    units: &'static str,
    example: &'static str,
}

impl Period {
    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl Size {
    /// As a number of bytes in memory. What no memory can hold is as much as there is.
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let micros = quantity(text, &PERIOD_UNITS).ok_or_else(|| UnitError {
            text: text.to_owned(),
            kind: "duration",
            units: "us, ms, s, m, h",
            example: "150ms",
        })?;
        Ok(Self(Duration::from_micros(micros)))
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bytes = quantity(text, &SIZE_UNITS).ok_or_else(|| UnitError {
            text: text.to_owned(),
            kind: "size",
            units: "B, KiB, MiB, GiB",
            example: "64MiB",
        })?;
        Ok(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        in_largest_unit(f, micros, &PERIOD_UNITS)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_largest_unit(f, self.0, &SIZE_UNITS)
    }
}

/// The units, smallest first, each with its worth in the smallest.
type Units<const N: usize> = [(&'static str, u64); N];

const PERIOD_UNITS: Units<5> = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
];
const SIZE_UNITS: Units<4> = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let (_, worth) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*worth)
}

fn in_largest_unit(
    f: &mut fmt::Formatter<'_>,
    quantity: u64,
    units: &[(&str, u64)],
) -> fmt::Result {
    let fits = |worth: u64| quantity.is_multiple_of(worth) && quantity >= worth;
    match units.iter().rev().find(|(_, worth)| fits(*worth)) {
        Some((name, worth)) => write!(f, "{}{name}", quantity / worth),
        None => write!(
            f,
            "{quantity}{}",
            units.first().map_or("", |(name, _)| name)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_and_printed_as_people_write_them() {
        for text in ["150ms", "2s", "5m", "1h", "7us", "0us"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for text in ["64MiB", "1GiB", "3KiB", "17B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!("64 MiB".parse::<Size>().unwrap(), Size(64 << 20));
    }

    #[test]
    fn a_quantity_without_a_unit_or_beyond_64_bits_is_refused_with_an_example() {
        for text in [
            "",
            "150",
            "ms",
            "1.5s",
            "-1s",
            "9 parsecs",
            "99999999999999999999h",
        ] {
            let error = text.parse::<Period>().unwrap_err().to_string();
            assert!(error.contains("for example \"150ms\""), "{error}");
        }
        assert!("18446744073709551615GiB".parse::<Size>().is_err());
    }
}
