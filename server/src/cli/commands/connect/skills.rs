//! The coordinator's skills, the same as in the plugin, under names of their own.

use std::path::Path;

use super::files;
use super::files::Mode;
use super::files::Step;

/// Name in the plugin, and text.
const SKILLS: [(&str, &str); 5] = [
    ("plan", include_str!("../../../../../packaging/claude-plugin/skills/plan/SKILL.md")),
    ("dispatch", include_str!("../../../../../packaging/claude-plugin/skills/dispatch/SKILL.md")),
    ("watch", include_str!("../../../../../packaging/claude-plugin/skills/watch/SKILL.md")),
    ("unblock", include_str!("../../../../../packaging/claude-plugin/skills/unblock/SKILL.md")),
    ("report", include_str!("../../../../../packaging/claude-plugin/skills/report/SKILL.md")),
];

/// Writes them below a directory of skills.
pub(super) fn write(directory: &Path, mode: Mode) -> anyhow::Result<Vec<Step>> {
    SKILLS
        .into_iter()
        .map(|(name, text)| {
            let place = directory.join(format!("vibe-{name}/SKILL.md"));
            files::own(&place, &renamed(name, text), mode)
        })
        .collect()
}

/// Whether some of them are there.
pub(super) fn are_there(directory: &Path) -> bool {
    SKILLS.iter().any(|(name, _)| directory.join(format!("vibe-{name}/SKILL.md")).exists())
}

/// Removes those that nobody changed.
pub(super) fn remove(directory: &Path, mode: Mode) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (name, _) in SKILLS {
        let place = directory.join(format!("vibe-{name}/SKILL.md"));
        steps.extend(files::disown(&place, mode)?);
    }
    Ok(steps)
}

/// The plugin's name is in front of its skills' names; without it `plan` could be anybody's.
fn renamed(name: &str, text: &str) -> String {
    let text = text.replacen(&format!("name: {name}\n"), &format!("name: vibe-{name}\n"), 1);
    // The name may stand on the line after the word.
    let of_skills = SKILLS.iter().flat_map(|(name, _)| {
        let quoted = format!("`{name}`");
        text.match_indices(&quoted).map(|(at, _)| at).collect::<Vec<_>>()
    });
    let is_skill = |at: &usize| text[..*at].trim_end().ends_with("skill");
    let mut places: Vec<usize> = of_skills.filter(is_skill).collect();
    places.sort_unstable();
    let mut renamed = text.clone();
    for at in places.into_iter().rev() {
        renamed.insert_str(at + 1, "vibe-");
    }
    renamed.replace("mcp__plugin_vibe-ensemble_vibe-ensemble__", "mcp__vibe-ensemble__")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::EventKind;

    #[test]
    fn each_skill_has_its_new_name_and_names_others_by_theirs() {
        for (name, text) in SKILLS {
            let text = renamed(name, text);
            assert!(text.starts_with(&format!("---\nname: vibe-{name}\ndescription: ")), "{name}");
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for mention in words.split("skill `").skip(1) {
                let (other, _) = mention.split_once('`').unwrap();
                let known = SKILLS.iter().any(|(name, _)| other == format!("vibe-{name}"));
                assert!(known, "{name} names {other}");
            }
        }
    }

    #[test]
    fn skills_name_no_tool_or_event_that_is_not_there() {
        let tools: Vec<&str> = crate::mcp::tool_names();
        let kinds = EventKind::NAMES;
        let verbs = [
            "create_", "list_", "get_", "update_", "resume_", "close_", "mark_", "spawn_", "stop_",
        ];
        for (name, text) in SKILLS {
            for word in text.split(|c: char| !(c.is_ascii_lowercase() || c == '_')) {
                let is_tool =
                    verbs.iter().any(|verb| word.starts_with(verb) && word.len() > verb.len());
                if is_tool {
                    assert!(tools.contains(&word), "{name} names the tool {word}");
                }
                let is_event = word.starts_with("ticket_") || word.starts_with("queue_");
                if is_event {
                    assert!(kinds.contains(&word), "{name} names the event {word}");
                }
            }
        }
    }
}
