//! Attempts of setup and gate: their grants, and from their exit records to their ends.

use std::path::Path;

use shim_protocol::exit::ExitRecord;
use shim_protocol::exit::ExitStatus;
use shim_protocol::exit::StopReason;
use shim_protocol::grant::Grant;
use shim_protocol::grant::GrantKind;
use shim_protocol::grant::Limits;
use shim_protocol::message::AckVerdict;

use super::completion::Completions;
use super::grant::Grants;
use super::grant::millis;
use super::worktrees::directory_of;
use crate::domain::attempt::Attempt;
use crate::domain::attempt::StopMode;
use crate::domain::gates::kind::AttemptKind;
use crate::domain::gates::ran::Exit;
use crate::domain::gates::ran::Ran;
use crate::domain::outcome::Failure;
use crate::domain::verdict;
use crate::domain::worktree::Worktree;
use crate::shim::facts;
use crate::store::CheckEnding;
use crate::store::EndReport;
use crate::store::GrantedCheck;
use crate::store::Result;

/// Output of one command is kept up to this many bytes at its end, besides as many at its beginning.
const SEGMENT_BYTES: u64 = 1 << 20;
const SEGMENTS: u32 = 4;

/// Variables of agents that a gate must not have: it runs what the agent wrote.
const OF_THE_ACCOUNT: [&str; 2] = ["ANTHROPIC_", "CLAUDE_"];

impl Grants {
    /// The grant of an attempt without an agent: commands, without a token and without the account's keys.
    pub(super) fn check(&self, granted: &GrantedCheck) -> Grant {
        let settings = self.settings.get();
        let GrantedCheck { attempt, ticket, project, checks, first_port } = granted;
        let check = attempt.check.clone().unwrap_or_default();
        let gate = check.gate.as_deref().and_then(|gate| checks.gate(gate));
        let mut env = settings.env;
        env.retain(|name, _| !OF_THE_ACCOUNT.iter().any(|prefix| name.starts_with(prefix)));
        if let Some(gate) = gate {
            env.extend(gate.env.clone());
        }
        let env = self.surroundings(env, settings.search_path, attempt, project, *first_port);
        let directory = directory_of(attempt, ticket.work.as_ref(), &project.path);
        let below = gate.map(|gate| gate.directory.as_str()).unwrap_or_default();
        let (program, args) = check
            .commands
            .first()
            .and_then(|argv| argv.split_first())
            .map(|(program, args)| (program.into(), args.to_vec()))
            .unwrap_or_default();
        Grant {
            version: 1,
            server_id: self.server_id.clone(),
            attempt_id: attempt.id.to_string(),
            ticket_id: ticket.id.to_string(),
            project: project.name.to_string(),
            stage: attempt.stage.to_string(),
            worker_id: attempt.worker.to_string(),
            claude_session_id: String::new(),
            program,
            args,
            prompt: String::new(),
            cwd: if below.is_empty() {
                directory.into()
            } else {
                Path::new(&directory).join(below)
            },
            env,
            env_pass: Vec::new(),
            files: std::collections::BTreeMap::new(),
            limits: Limits {
                timeout_ms: millis(attempt.timeout_seconds),
                segment_bytes: SEGMENT_BYTES,
                segments: SEGMENTS,
                grace_ms: settings.limits.grace_ms,
                kill_after_ms: settings.limits.kill_after_ms,
                ..Limits::default()
            },
            kind: match attempt.kind {
                AttemptKind::Agent => GrantKind::Agent,
                // A shim that runs setups runs cleanups: both are commands in a worktree.
                AttemptKind::Setup | AttemptKind::Cleanup => GrantKind::Setup,
                AttemptKind::Gate => GrantKind::Gate,
            },
            commands: check.commands,
            extra: serde_json::Map::new(),
        }
    }
}

impl Completions {
    /// Judges the record of an attempt without an agent, puts back what it changed and commits its end.
    pub(super) async fn complete_check(
        &self,
        found: &Attempt,
        record: &ExitRecord,
    ) -> Result<AckVerdict> {
        let work = self.store.find_ticket(found.ticket).await?.work;
        let ran = Self::ran(found, record, work.as_ref());
        let (exit_code, signal) = facts::codes(&record.status);
        let ending = CheckEnding {
            attempt: found.id,
            ran,
            exit_code,
            signal,
            tail: record.stderr_tail.clone(),
            note: None,
            tests: None,
            peak_memory_bytes: record.peak_memory_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
            record: serde_json::to_string(record).ok(),
        };
        let report = self.end_check(found, ending).await?;
        tracing::debug!(attempt = %found.id, worker = %record.worker_id, report = report.name(), swept = record.swept, "the end of a setup or a gate was stored");
        Ok(match report {
            EndReport::Accepted => AckVerdict::Accepted,
            EndReport::Duplicate => AckVerdict::Duplicate,
            EndReport::Parked => AckVerdict::Parked,
        })
    }

    /// Commits the end of an attempt without an agent. Git first: the verdict belongs to a commit, and the next command
    /// must find that commit and nothing else.
    pub(super) async fn end_check(
        &self,
        found: &Attempt,
        ending: CheckEnding,
    ) -> Result<EndReport> {
        let is_set_up = found.kind == AttemptKind::Setup && ending.ran == Ran::Passed;
        let tidied = self.worktrees.tidy(found, /* keeps base */ is_set_up).await?;
        let ending =
            CheckEnding { note: tidied.note.clone(), tests: tidied.tests.clone(), ..ending };
        let report = self.store.end_check(ending, self.clock.now()).await?;
        drop(tidied);
        Ok(report)
    }

    fn ran(found: &Attempt, record: &ExitRecord, work: Option<&Worktree>) -> Ran {
        let at = record.commands.len().saturating_sub(1);
        let nothing = |failure, detail: &str| Ran::Nothing { failure, detail: detail.to_owned() };
        let told = record.stop.as_ref();
        let is_own = told.and_then(|stop| stop.sender.as_ref()).is_some_and(|sender| sender.own);
        match told.map(|stop| stop.reason) {
            Some(StopReason::Timeout) => return Ran::TimedOut { at },
            Some(
                StopReason::Interrupt | StopReason::Kill | StopReason::Restart | StopReason::Cancel,
            ) if is_own => {
                return nothing(
                    Failure::EndedItsWorker,
                    "one of its own processes ended its worker",
                );
            }
            Some(StopReason::Cancel) if found.stop == Some(StopMode::Cancel) => {
                return Ran::Cancelled;
            }
            Some(
                StopReason::Interrupt | StopReason::Kill | StopReason::Restart | StopReason::Cancel,
            ) => return Ran::Interrupted,
            Some(StopReason::Unrecordable) => {
                return nothing(Failure::SpawnFailed, "its run directory could not be written");
            }
            Some(
                StopReason::Stall
                | StopReason::HungAfterResult
                | StopReason::HangAtStart
                | StopReason::MaxTurns
                | StopReason::NoProgress
                | StopReason::Authentication
                | StopReason::Billing
                | StopReason::Newer,
            ) => {
                return nothing(
                    Failure::Unknown,
                    "it was stopped for a reason this server does not know",
                );
            }
            None => {}
        }
        if found.overdue {
            return Ran::TimedOut { at };
        }
        match &record.status {
            ExitStatus::Exited { code: 0 } => Ran::Passed,
            _ if record.oom_kills.is_some_and(|kills| kills > 0) => {
                Ran::Failed { at, how: Exit::OutOfMemory }
            }
            ExitStatus::Exited { code } => Ran::Failed { at, how: Exit::Code(*code) },
            ExitStatus::Signaled { signal } => Ran::Failed { at, how: Exit::Signal(*signal) },
            ExitStatus::NotStarted { error, errno } => {
                let directory = directory_of(found, work, "/");
                if !Path::new(&directory).is_dir() {
                    return nothing(Failure::WorktreeGone, "the worktree is gone");
                }
                match errno {
                    Some(errno) if verdict::is_of_the_machine(*errno) => {
                        return nothing(Failure::SpawnFailed, error);
                    }
                    // Its shim refused it.
                    None => return nothing(Failure::NotStarted, error),
                    Some(_) => {}
                }
                Ran::NotStarted { at, error: error.clone() }
            }
            ExitStatus::Unknown | ExitStatus::Newer => {
                nothing(Failure::Unknown, "its end could not be observed")
            }
        }
    }
}
