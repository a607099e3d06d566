//! Values of the configuration file that are checked where they stand, so that the error names the
//! line.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};

/// `HOST:PORT`. The host may be a name; it is looked up when it is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(String);

/// A node's number as the name of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeName(pub u64);

impl Address {
    /// Checks the form: a host that is not empty, a colon, a port from 1 to 65535.
    ///
    /// # Errors
    /// What is wrong, with an example.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fail = |why: &str| {
            Err(format!(
                "{text:?} is no address ({why}): write HOST:PORT, for example \"127.0.0.1:7001\""
            ))
        };
        let Some((host, port)) = text.rsplit_once(':') else {
            return fail("it has no port");
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return fail("its host is empty or contains a space");
        }
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.contains(':') && !bracketed {
            return fail("an IPv6 host stands in brackets");
        }
        match port.parse::<u16>() {
            Ok(0) | Err(_) => fail("its port is not a number from 1 to 65535"),
            Ok(_) => Ok(Self(text.to_owned())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.parse().map_err(|_| {
            D::Error::custom(format!(
                "[peers.{text}]: a node is named by its number, for example [peers.1]"
            ))
        })?;
        Ok(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["127.0.0.1:7001", "db-1.example:80", "[::1]:9000"] {
            assert_eq!(Address::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "127.0.0.1",
            ":7001",
            "host:",
            "host:0",
            "host:70000",
            "::1:80",
            "a b:1",
        ] {
            let error = Address::parse(bad).unwrap_err();
            assert!(error.contains("write HOST:PORT"), "{error}");
        }
    }
}
