//! Says where a configuration file is wrong, and what was probably meant.

use crate::failure::Failure;

/// The line, the line's number, what is wrong, and the nearest name that would be right.
pub(super) fn parse_error(text: &str, error: &toml::de::Error) -> Failure {
    let message = error.message();
    let hint = meant(message).map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    let Some(span) = error.span() else {
        return Failure::new(format!("{message}{hint}"));
    };
    let before = text.get(..span.start).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default().trim();
    Failure::new(format!(
        "line {number}: {message}{hint}\n  {number} | {line}"
    ))
}

/// The known name nearest to an unknown one, if one is near.
///
/// The parser's message is "unknown field `X`, expected one of `A`, `B`" (or "variant"): the first
/// quoted name is the unknown one, the others are known.
fn meant(message: &str) -> Option<&str> {
    if !message.contains("unknown ") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let distance = |known: &str| strsim::damerau_levenshtein(unknown, known);
    let nearest = quoted.min_by_key(|known| distance(known))?;
    (distance(nearest) <= unknown.len().max(4) / 2).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use crate::config::ServerConfig;

    const GOOD: &str = r#"
cluster = "orders"
id = 1
listen = "127.0.0.1:7001"
clients = "127.0.0.1:8001"
directory = "data/1"
transport = "tcp"

[timing]
heartbeat_interval = "20ms"
election_timeout = "150ms"

[limits]
entry_bytes_max = "1MiB"

[peers.1]
raft = "127.0.0.1:7001"
clients = "127.0.0.1:8001"

[peers.2]
raft = "127.0.0.1:7002"
clients = "127.0.0.1:8002"
"#;

    fn error_after(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from:?} is not in the good file");
        ServerConfig::parse(&GOOD.replacen(from, to, 1))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_good_file_is_read_and_written_alike() {
        let config = ServerConfig::parse(GOOD).unwrap();
        assert_eq!(config.raft().entry_bytes_max, 1 << 20);
        assert_eq!(config.raft().election_timeout.as_millis(), 150);
        assert_eq!(config.client_addresses().len(), 2);
        assert_eq!(ServerConfig::parse(&config.to_string()).unwrap(), config);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_key() {
        let error = error_after("directory =", "directroy =");
        assert!(
            error.contains("line 6: unknown field `directroy`"),
            "{error}"
        );
        assert!(error.contains("did you mean `directory`?"), "{error}");
        let error = error_after("election_timeout", "election_timeuot");
        assert!(error.contains("line 11"), "{error}");
        assert!(
            error.contains("did you mean `election_timeout`?"),
            "{error}"
        );
        let error = error_after("raft =", "raff =");
        assert!(error.contains("did you mean `raft`?"), "{error}");
    }

    #[test]
    fn a_bad_value_is_refused_with_its_line_and_an_example() {
        let error = error_after("127.0.0.1:7001", "127.0.0.1");
        assert!(
            error.contains("line 4") && error.contains("HOST:PORT"),
            "{error}"
        );
        let error = error_after("20ms", "20 parsecs");
        assert!(
            error.contains("line 10") && error.contains("150ms"),
            "{error}"
        );
        let error = error_after("transport =", "store = \"reddb\"\ntransport =");
        assert!(error.contains("line 7"), "{error}");
        assert!(error.contains("did you mean `redb`?"), "{error}");
        let error = error_after("[peers.2]", "[peers.two]");
        assert!(error.contains("for example [peers.1]"), "{error}");
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused_with_the_fix() {
        let error = error_after("id = 1", "id = 7");
        assert!(error.contains("there is no [peers.7]"), "{error}");
        let error = error_after("150ms", "30ms");
        assert!(
            error.contains("at least 3 times heartbeat_interval"),
            "{error}"
        );
        let error = error_after("127.0.0.1:8002", "127.0.0.1:7001");
        assert!(
            error.contains("[peers.2] uses 127.0.0.1:7001 again"),
            "{error}"
        );
        let error = error_after("\"orders\"", "\"\"");
        assert!(error.contains("cluster is empty"), "{error}");
    }

    #[test]
    fn plain_text_is_chosen_by_its_name_and_never_by_saying_nothing() {
        let error = error_after("transport = \"tcp\"\n", "");
        assert!(error.contains("missing field `transport`"), "{error}");
        let error = error_after("\"tcp\"", "\"tpc\"");
        assert!(error.contains("did you mean `tcp`?"), "{error}");
    }

    #[cfg(feature = "redb")]
    #[test]
    fn an_unknown_key_of_the_store_is_refused_like_one_of_ours() {
        let error = error_after("[limits]", "[redb]\ncahce = \"1MiB\"\n\n[limits]");
        assert!(error.contains("line 14: unknown field `cahce`"), "{error}");
        assert!(error.contains("did you mean `cache`?"), "{error}");
    }

    #[cfg(feature = "tcp")]
    #[test]
    fn the_transport_s_section_is_checked_like_the_others() {
        let error = error_after("[limits]", "[network]\nadvertized = \"a:1\"\n\n[limits]");
        assert!(error.contains("line 14"), "{error}");
        assert!(error.contains("did you mean `advertise`?"), "{error}");
        let error = error_after("[limits]", "[network]\nadvertise = \"a\"\n\n[limits]");
        assert!(error.contains("[network]: advertise"), "{error}");
        let good = GOOD.replace("[limits]", "[network]\nadvertise = \"a:1\"\n\n[limits]");
        let config = ServerConfig::parse(&good).unwrap();
        assert_eq!(config.network.advertise, "a:1");
        assert_eq!(ServerConfig::parse(&config.to_string()).unwrap(), config);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_secure_transport_needs_certificates_and_swapping_it_needs_one_word() {
        let error = error_after("\"tcp\"", "\"tcp+tls\"");
        assert!(error.contains("there is no [tls]"), "{error}");
        assert!(error.contains("kv certs"), "{error}");
        let tls = "[tls]\ncertificate = \"c\"\nkey = \"k\"\nauthorities = \"a\"\n\n[limits]";
        let plain = GOOD.replace("[limits]", tls);
        ServerConfig::parse(&plain).unwrap();
        let secure = plain.replacen("\"tcp\"", "\"tcp+tls\"", 1);
        let config = ServerConfig::parse(&secure).unwrap();
        assert_eq!(ServerConfig::parse(&config.to_string()).unwrap(), config);
        let error = ServerConfig::parse(&secure.replace("authorities", "authority"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("did you mean `authorities`?"), "{error}");
    }

    #[cfg(not(feature = "rocksdb"))]
    #[test]
    fn a_section_whose_adapter_was_not_built_names_the_feature() {
        let error = error_after("[limits]", "[rocksdb]\n\n[limits]");
        assert!(error.contains("--features rocksdb"), "{error}");
        let error = error_after("transport =", "store = \"rocksdb\"\ntransport =");
        assert!(error.contains("line 7"), "{error}");
        assert!(error.contains("--features rocksdb"), "{error}");
    }
}
