//! The attackers among the agents: what each of them does, and how much of its own work that may
//! cost.
//!
//! An attacker runs with the rights of its supervisor, so it may ruin its own ticket. It must not
//! affect anybody else's.

use std::path::Path;

use e2e::kept::Kept;

use crate::load::Projects;
use crate::random::Random;

/// The worker type in whose stage attackers attack: its time is limited, and it has few attempts.
pub(crate) const STAGE: &str = "timed";
/// In seconds.
pub(crate) const TIME_LIMIT: u32 = 10;
pub(crate) const MAX_ATTEMPTS: u32 = 3;

/// Appears in a report, comment or file only if the server believed a record that an attacker
/// forged.
pub(crate) const FORGED: &str = "forged-report";

/// The attack that removes the run directories of others.
pub(crate) const REMOVED_RUNS: &str = "others-removed-run";

/// The effect of an attack on the attacker's own ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// Its working directory has changed: the stage's result may be lost, those of earlier stages
    /// may not.
    WorkMayBeLost,
    /// Its work is unaffected: what was accepted is in the repository.
    WorkStays,
}

/// The target of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The server, through what the agent leaves in its worktree. There is none in a directory that
    /// attempts share.
    Worktree,
    /// The server and the agent's own shim.
    Supervisor,
    /// Attempts and records of others.
    Others,
    /// Shims of others. Their attempts may have to be repeated.
    OtherShims,
}

/// One kind of attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) own: Own,
    pub(crate) aim: Aim,
    /// In every run of the stage, or only in its first.
    every_run: bool,
    /// Commands of the scripted agent, separated by ` ; `. `@directory` and `@repository` are the
    /// canaries, `@checkout` is the project's repository.
    script: &'static str,
}

const fn on_worktree(name: &'static str, script: &'static str) -> Attack {
    Attack { name, own: Own::WorkMayBeLost, aim: Aim::Worktree, every_run: false, script }
}

const fn on_run(name: &'static str, script: &'static str) -> Attack {
    Attack { name, own: Own::WorkStays, aim: Aim::Supervisor, every_run: false, script }
}

const fn on_others(name: &'static str, script: &'static str) -> Attack {
    Attack { name, own: Own::WorkStays, aim: Aim::Others, every_run: false, script }
}

const fn own_signal(name: &'static str, script: &'static str) -> Attack {
    Attack { name, own: Own::WorkStays, aim: Aim::Supervisor, every_run: true, script }
}

const fn other_signal(name: &'static str, script: &'static str) -> Attack {
    Attack { name, own: Own::WorkStays, aim: Aim::OtherShims, every_run: false, script }
}

/// All attacks. `--attack NAME` chooses those whose names begin with `NAME`.
const ATTACKS: [Attack; 65] = [
    on_worktree("worktree-link-repository", "link {worktree} @repository"),
    on_worktree("worktree-link-directory", "link {worktree} @directory"),
    on_worktree("worktree-link-checkout", "link {worktree} @checkout"),
    on_worktree("worktree-link-inside", "link {worktree}/inside @directory"),
    on_worktree("worktree-removed", "remove {worktree}"),
    on_worktree("worktree-file", "remove {worktree} ; write {worktree} no directory"),
    on_worktree("worktree-pipe", "pipe {worktree}"),
    on_worktree("git-file-repository", "write {worktree}/.git gitdir: @repository/.git"),
    on_worktree("git-file-checkout", "write {worktree}/.git gitdir: @checkout/.git"),
    on_worktree("git-file-removed", "remove {worktree}/.git"),
    on_worktree("git-link-repository", "link {worktree}/.git @repository/.git"),
    on_worktree("git-link-checkout", "link {worktree}/.git @checkout/.git"),
    on_worktree("git-pipe", "pipe {worktree}/.git"),
    on_worktree(
        "git-commondir",
        "write @checkout/.git/worktrees/{ticket}/commondir @repository/.git",
    ),
    on_worktree("git-gitdir", "write @checkout/.git/worktrees/{ticket}/gitdir @repository/.git"),
    on_worktree("git-head-pipe", "pipe @checkout/.git/worktrees/{ticket}/HEAD"),
    on_worktree("git-index-link", "link @checkout/.git/worktrees/{ticket}/index @directory/file"),
    on_worktree("git-index-pipe", "pipe @checkout/.git/worktrees/{ticket}/index"),
    on_worktree("files-pipe-gitignore", "pipe {worktree}/.gitignore"),
    on_worktree("files-pipe-gitattributes", "pipe {worktree}/.gitattributes"),
    on_worktree("files-pipe-gitmodules", "pipe {worktree}/.gitmodules"),
    on_worktree("files-pipe-work", "pipe {worktree}/{ticket}.txt"),
    on_worktree("files-read-only", "read-only {worktree}/cache ; read-only {worktree}/cache/below"),
    on_worktree("files-huge", "run truncate -s 1T {worktree}/hole"),
    on_worktree("files-huge-work", "run truncate -s 1T {worktree}/{ticket}.txt"),
    // Nobody else's worktree should contain them, so the attempt gives up and they are put aside.
    on_worktree(
        "files-many",
        "run mkdir {worktree}/many && cd {worktree}/many && seq 1 20000 | split -l 1 -a 4 - f ; exit 3",
    ),
    on_worktree(
        "files-odd-names",
        r#"run cd {worktree} && touch -- -rf '*' ':(exclude)x' ' ' "$(printf 'new\nline')" "$(printf '\377')" "$(printf 'x%.0s' $(seq 255))" && mkdir -p "$(printf 'd%.0s/' $(seq 900))""#,
    ),
    // The programs distinguish the server's git from that of agents and of the user, which may well
    // run them.
    on_worktree(
        "config-programs",
        "run printf '#!/bin/sh\\n[ \"$GIT_COMMITTER_EMAIL\" != vibe-ensemble@localhost ] || touch @directory/ran\\n' > {run}/hook && chmod +x {run}/hook && for hook in pre-commit post-checkout post-merge reference-transaction post-index-change; do cp {run}/hook {run}/$hook; done; for key in core.fsmonitor core.sshCommand core.editor core.pager gpg.program diff.external; do git config $key {run}/hook || true; done; git config core.hooksPath {run} || true",
    ),
    on_run("run-huge-exit", "run truncate -s 1T {run}/exit.json"),
    on_run("run-huge-grant", "run truncate -s 1T {run}/grant.json"),
    on_run("run-link-exit", "link {run}/exit.json @directory/file"),
    on_run("run-link-reserve", "link {run}/exit.reserve @directory/file"),
    on_run("run-link-segment", "link {run}/stdout.000002.jsonl @directory/file"),
    on_run("run-link-errors", "link {run}/stderr.000001.log @directory/file"),
    on_run("run-link-tree-lock", "link {run}/tree.lock @directory/file"),
    on_run("run-link-shim-lock", "link {run}/shim.lock @directory/file"),
    on_run("run-link-whole", "link {run} @directory"),
    on_run("run-link-next", "link {attempts}/{next} @directory"),
    on_run("run-pipe-exit", "pipe {run}/exit.json"),
    on_run("run-pipe-grant", "pipe {run}/grant.json"),
    on_run("run-pipe-unit", "pipe {run}/unit.json"),
    on_run("run-pipe-segment", "pipe {run}/stdout.000001.jsonl ; pipe {run}/stdout.000002.jsonl"),
    on_run("run-pipe-tree-lock", "pipe {run}/tree.lock"),
    on_run("run-pipe-shim-lock", "pipe {run}/shim.lock"),
    on_run("run-pipe-next", "pipe {attempts}/{next}/exit.json"),
    on_run("run-removed", "remove {run}"),
    on_others(REMOVED_RUNS, "remove {attempts}/{other}"),
    on_others("others-removed-locks", "run rm -f {state}/workers/W-*.lock"),
    on_others(
        "others-removed-run-locks",
        "run rm -f {attempts}/*/shim.lock {attempts}/*/tree.lock",
    ),
    on_others("forged-other", "forge {other} {other} theirs forged-report"),
    on_others("forged-other-own-worker", "forge {other} {other} {worker} forged-report"),
    on_others("forged-next", "forge {next} {next} {worker} forged-report"),
    on_others("forged-next-names-other", "forge {next} {other} {worker} forged-report"),
    on_others("forged-own", "forge {attempt} {attempt} {worker} forged-report"),
    on_others("forged-own-names-other", "forge {attempt} {other} theirs forged-report"),
    own_signal("own-signal-stop", "signal shim STOP"),
    own_signal("own-signal-term", "signal shim TERM ; sleep 0.3"),
    own_signal("own-signal-usr1", "signal shim USR1 ; sleep 0.3"),
    own_signal("own-signal-quit", "signal shim QUIT ; sleep 0.3"),
    own_signal("own-signal-int", "signal shim INT ; sleep 0.3"),
    own_signal("own-signal-kill", "signal shim KILL ; sleep 0.3"),
    own_signal("own-signal-harmless", "signal shim USR2 ; signal shim HUP ; signal shim CONT"),
    other_signal("other-signal-quit", "signal shims QUIT"),
    other_signal("other-signal-usr", "signal shims USR1 ; signal shims USR2 ; signal shims HUP"),
    other_signal("other-signal-kill", "signal shims TERM ; sleep 0.2 ; signal shims KILL"),
];

/// How many agents attack, and how.
#[derive(Debug)]
pub(crate) struct Attackers {
    /// The number of attackers in a hundred tickets.
    share: u64,
    attacks: Vec<Attack>,
    random: Random,
    directory: String,
    repository: String,
    checkout: String,
}

impl Attackers {
    /// The attacks whose names begin with one of `names`, or, without names, all that fit. Fails
    /// with a name that fits no attack.
    pub(crate) fn new(
        kept: &Kept,
        projects: Projects,
        share: u64,
        names: &[String],
        server_only: bool,
        seed: u64,
    ) -> Result<Self, String> {
        let begins = |attack: &&Attack, name: &String| attack.name.starts_with(name.as_str());
        let unknown = names.iter().find(|name| !ATTACKS.iter().any(|one| begins(&one, name)));
        if let Some(unknown) = unknown {
            let all: Vec<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
            return Err(format!("no attack begins with {unknown}; there are {}", all.join(", ")));
        }
        let fits = |attack: &&Attack| match attack.aim {
            Aim::Worktree => projects != Projects::Shared,
            // Every agent must run exactly once there, and these attacks make others run again.
            Aim::OtherShims => !server_only,
            Aim::Supervisor | Aim::Others => true,
        };
        let chosen =
            |attack: &&Attack| names.is_empty() || names.iter().any(|name| begins(attack, name));
        let attacks = ATTACKS.iter().filter(fits).filter(chosen).copied().collect();
        let shown = |path: &Path| path.display().to_string();
        Ok(Self {
            share,
            attacks,
            random: Random::new(seed.rotate_left(32) ^ 0xa77a),
            directory: shown(&kept.directory.join(crate::canary::DIRECTORY)),
            repository: shown(&kept.directory.join(crate::canary::REPOSITORY)),
            checkout: shown(&crate::load::repository(kept).path),
        })
    }

    /// The attack of the next ticket and the lines of its script; `None` for an honest one.
    pub(crate) fn next(&mut self) -> Option<(Attack, String)> {
        // The same number of draws for each ticket: another share changes no other ticket's attack.
        let [roll, which, end] = [100, 1 << 32, 2].map(|bound| self.random.below(bound));
        if roll >= self.share || self.attacks.is_empty() {
            return None;
        }
        let count = u64::try_from(self.attacks.len()).expect("a few");
        let attack = self.attacks[usize::try_from(which % count).expect("below a few")];
        Some((attack, self.script(attack, end == 0)))
    }

    fn script(&self, attack: Attack, gives_up: bool) -> String {
        let target = if attack.every_run { STAGE.to_owned() } else { format!("{STAGE}#1") };
        let script = attack
            .script
            .replace("@directory", &self.directory)
            .replace("@repository", &self.repository)
            .replace("@checkout", &self.checkout);
        let note = format!("attack {}", attack.name);
        // What a failed attempt leaves is put aside, what a good one leaves is accepted: two ways
        // into the same trap.
        let end = (attack.aim == Aim::Worktree && gives_up).then_some("exit 3");
        let commands = std::iter::once(note.as_str()).chain(script.split(" ; ")).chain(end);
        let lines: Vec<String> =
            commands.map(|command| format!("fake: {target}: {command}")).collect();
        lines.join("\n")
    }

    /// The selection of attacks, for people.
    pub(crate) fn describe(&self) -> String {
        if self.share == 0 || self.attacks.is_empty() {
            return "no attackers".to_owned();
        }
        format!("{} of 100 tickets attack, in {} ways", self.share, self.attacks.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_has_a_name_of_its_own() {
        let mut names: Vec<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ATTACKS.len());
        // In the record of attacks, a file name ends with it.
        assert!(names.iter().all(|name| !name.contains('.') && !name.contains('/')));
    }

    #[test]
    fn a_forged_report_is_the_one_that_is_looked_for() {
        let forged = ATTACKS.iter().filter(|attack| attack.name.starts_with("forged"));
        assert!(forged.into_iter().all(|attack| attack.script.ends_with(FORGED)));
    }
}
