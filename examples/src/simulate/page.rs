//! One self-contained page: a lane for each node, an arrow for each message, faults marked.

use raft_core::id::NodeId;
use raft_core::sim::{Line, Mark, Story};
use raft_core::time::Timestamp;
use serde_json::{Value, json};

use crate::failure::{Failure, OrFail};

/// The page as text, with what happened since `from`.
pub(super) fn page(
    seed: u64,
    (ending, is_violated): (&str, bool),
    story: &Story,
    from: Timestamp,
) -> Result<String, Failure> {
    let millis = |at: Timestamp| at.as_nanos() as f64 / 1e6;
    let told = |line: &Line| {
        let node = line.node.map(NodeId::get);
        json!([millis(line.at), node, line.mark.name(), line.text])
    };
    let lines = story.lines.iter().filter(|line| line.at >= from);
    let lines: Vec<Value> = lines.map(told).collect();
    // Who leads and who is down when the page begins.
    let news = |mark: Mark| matches!(mark, Mark::Role | Mark::Down | Mark::Fault);
    let before = story.lines.iter().filter(|line| line.at < from);
    let before: Vec<Value> = before.filter(|line| news(line.mark)).map(told).collect();
    let arrows = story.arrows.iter();
    let arrows: Vec<Value> = arrows
        .filter(|arrow| arrow.arrives.unwrap_or(arrow.sent) >= from)
        .map(|arrow| {
            let arrives = arrow.arrives.map(millis);
            let (from, to) = (arrow.from.get(), arrow.to.get());
            json!([
                millis(arrow.sent),
                arrives,
                from,
                to,
                arrow.name,
                arrow.text
            ])
        })
        .collect();
    let nodes: Vec<u64> = story.nodes.iter().map(|node| node.get()).collect();
    let data = json!({
        "seed": seed,
        "ending": ending,
        "violated": is_violated,
        "nodes": nodes,
        "from": millis(from),
        "before": before,
        "lines": lines,
        "arrows": arrows,
    });
    let data = serde_json::to_string(&data).or_fail(|| "cannot write the page".into())?;
    // Nothing in the data may end the script it stands in.
    let data = data.replace("</", "<\\/").replace("<!--", "<\\!--");
    Ok(TEMPLATE.replacen("{{DATA}}", &data, 1))
}

const TEMPLATE: &str = include_str!("page.html");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_needs_nothing_else_and_ends_no_script_early() {
        let replay = raft_core::sim::replay_life(5_000_094);
        let text = page(
            5_000_094,
            ("</script> ended", true),
            &replay.story,
            Timestamp::ZERO,
        )
        .unwrap();
        assert_eq!(text.matches("</script>").count(), 1);
        assert!(!text.contains("src=") && !text.contains("href="));
        assert!(text.contains("\"arrows\":[["));
    }
}
