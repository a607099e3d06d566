//! The form of a story: comments, commands, a line of dashes, what is seen, a blank line.

/// A comment, some commands, and what they show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scene {
    /// Lines that begin with `#`.
    pub(crate) comment: Vec<String>,
    /// One command a line.
    pub(crate) commands: Vec<String>,
    /// What is seen.
    pub(crate) output: Vec<String>,
}

const RULE: &str = "----";

/// Takes a story apart.
pub(crate) fn parse(text: &str) -> Vec<Scene> {
    let mut scenes = Vec::new();
    let mut scene = Scene::default();
    let mut in_output = false;
    for line in text.lines().chain([""]) {
        match line {
            "" => {
                if scene != Scene::default() {
                    scenes.push(std::mem::take(&mut scene));
                }
                in_output = false;
            }
            RULE if !in_output => in_output = true,
            output if in_output => scene.output.push(output.to_owned()),
            comment if comment.starts_with('#') => scene.comment.push(comment.to_owned()),
            command => scene.commands.push(command.to_owned()),
        }
    }
    scenes
}

/// Writes a story down.
pub(crate) fn render(scenes: &[Scene]) -> String {
    let mut text = Vec::new();
    for scene in scenes {
        text.extend(scene.comment.iter().cloned());
        if !scene.commands.is_empty() {
            text.extend(scene.commands.iter().cloned());
            text.push(RULE.to_owned());
            text.extend(scene.output.iter().cloned());
        }
        text.push(String::new());
    }
    while text.last().is_some_and(String::is_empty) {
        text.pop();
    }
    text.join("\n") + "\n"
}

/// The lines around the first difference, if there is one.
pub(crate) fn difference(expected: &str, found: &str) -> Option<String> {
    if expected == found {
        return None;
    }
    let same = expected
        .lines()
        .zip(found.lines())
        .take_while(|(expected, found)| expected == found)
        .count();
    let before = same.saturating_sub(8);
    let mut shown = vec![format!("line {}:", same + 1)];
    let common = expected.lines().skip(before).take(same - before);
    shown.extend(common.map(|line| format!("  {line}")));
    let rest = |text: &str, mark: &str| -> Vec<String> {
        let lines = text.lines().skip(same).take(6);
        lines.map(|line| format!("{mark} {line}")).collect()
    };
    shown.extend(rest(expected, "-"));
    shown.extend(rest(found, "+"));
    Some(shown.join("\n"))
}

mod tests {
    use super::*;

    const STORY: &str =
        "# Why.\n\n# A node.\nnodes 1\ncampaign 1\n----\n1: leader term=2\n\nlog 1\n----\n";

    #[test]
    fn a_story_survives_being_read_and_written() {
        let scenes = parse(STORY);
        assert_eq!(scenes.len(), 3);
        assert_eq!(scenes[1].commands, ["nodes 1", "campaign 1"]);
        assert_eq!(render(&scenes), STORY);
    }

    #[test]
    fn a_difference_is_shown_with_what_precedes_it() {
        let shown = difference("a\nb\nc\n", "a\nx\nc\n").unwrap();
        assert_eq!(shown, "line 2:\n  a\n- b\n- c\n+ x\n+ c");
        assert_eq!(difference("a\n", "a\n"), None);
    }
}
