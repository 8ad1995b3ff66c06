//! What a reader can do about a wait, a refusal or a limit: stated here once, in parts, and worded
//! for each reader. A model is given the tool, a person at a shell the command, and a person at a page the button.
//!
//! Stored texts, such as hold reasons and the details of attempts, have readers of both kinds. They
//! name the setting that matters ([`Knob::setting`]) and never a step.

use super::names::names;

names! {
    /// Who reads an answer.
    #[derive(Default)]
    pub enum Reader {
        /// A model that calls tools of this server.
        #[default]
        Model = "model",
        /// A person, or a script, that runs `vibe-ensemble` in a shell.
        Shell = "shell",
        /// A person who looks at a page of the dashboard.
        Page = "page",
    }
}

/// The header of a request in which a client names who reads the answer.
pub const READER_HEADER: &str = "vibe-ensemble-reader";

/// The header of a request in which a session names its own consumer of events.
pub const CONSUMER_HEADER: &str = "vibe-ensemble-consumer";

/// How one kind of reader takes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By calling this tool.
    Call(&'static str),
    /// By running this command, with the arguments of the advice.
    Run(&'static str),
    /// By a button or a page, named by the end of a clause: "with “Resume” on Queues".
    There(&'static str),
    /// By asking someone who can.
    Ask(&'static str),
    /// Without help from anyone.
    Directly,
}

use Way::Call;
use Way::Directly;
use Way::Run;
use Way::There;

const OPERATOR: Way = Way::Ask("the operator");

macro_rules! steps {
    ($($step:ident: $model:expr, $shell:expr, $page:expr;)+) => {
        /// A step that a reader can take. One row says how each kind of reader takes it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step { $($step,)+ }

        impl Step {
            pub const ALL: &'static [Self] = &[$(Self::$step,)+];

            #[must_use]
            pub const fn way(self, reader: Reader) -> Way {
                match (self, reader) {
                    $(
                        (Self::$step, Reader::Model) => $model,
                        (Self::$step, Reader::Shell) => $shell,
                        (Self::$step, Reader::Page) => $page,
                    )+
                }
            }
        }
    };
}

steps! {
    // step           a model                      a person at a shell, and on a page
    CreateProject:    Call("create_project"),      Run("vibe-ensemble project create"), There("with “New project” on Projects");
    UpdateProject:    Call("update_project"),      Run("vibe-ensemble project update"), There("with “Change” on the page of the project");
    ListProjects:     Call("list_projects"),       Run("vibe-ensemble project list"), There("on Projects");
    CreateWorkerType: Call("create_worker_type"),  Run("vibe-ensemble type create"), There("with “New worker type” on the page of the project");
    UpdateWorkerType: Call("update_worker_type"),  Run("vibe-ensemble type update"), There("with “Change” beside it on the page of the project");
    SpawnWorker:      Call("spawn_worker"),        Run("vibe-ensemble worker spawn"), There("with “Start a worker” on Queues");
    StopWorker:       Call("stop_worker"),         Run("vibe-ensemble worker stop"), There("with the actions of the worker on Workers");
    ListWorkers:      Call("list_workers"),        Run("vibe-ensemble worker list"), There("on Workers");
    WatchWorker:      Call("get_worker_status"),   Run("vibe-ensemble worker show"), There("on Workers");
    Resume:           Call("resume"),              Run("vibe-ensemble resume"), There("with “Resume” on Queues");
    CreateTicket:     Call("create_ticket"),       Run("vibe-ensemble ticket create"), There("with “New ticket” on Tickets");
    UpdateTicket:     Call("update_ticket"),       Run("vibe-ensemble ticket update"), There("with “Change” on the page of the ticket");
    GetTicket:        Call("get_ticket"),          Run("vibe-ensemble ticket show"), There("on the page of the ticket");
    ReadWait:         Call("get_ticket"),          Run("vibe-ensemble why"), There("on the page of the ticket");
    ListTickets:      Call("list_tickets"),        Run("vibe-ensemble ticket list"), There("on Tickets");
    CompleteStage:    Call("complete_ticket_stage"), Run("vibe-ensemble ticket complete"), There("with “Complete this stage” on the page of the ticket");
    CloseTicket:      Call("close_ticket"),        Run("vibe-ensemble ticket close"), There("with “Close as cancelled” on the page of the ticket");
    WaiveGate:        Call("waive_gate"),          Run("vibe-ensemble gate waive"), There("with “Waive” on the page of the ticket");
    ResumeTicket:     Call("resume_ticket"),       Run("vibe-ensemble ticket resume"), There("with “Resume” on the page of the ticket");
    AnswerTicket:     Call("resume_ticket"),       Run("vibe-ensemble answer"), There("in the inbox");
    AwaitEvents:      Call("list_events"),         Run("vibe-ensemble events --follow"), There("on Events");
    EndDrain:         Run("vibe-ensemble drain --off"), Run("vibe-ensemble drain --off"), Run("vibe-ensemble drain --off");
    Configure:        OPERATOR,                    Directly, Directly;
}

/// Templates that every server has, the one that most types are made from first.
pub const TEMPLATES: [&str; 8] = [
    "implementation",
    "planning",
    "research",
    "design",
    "testing",
    "review",
    "documentation",
    "deployment",
];

/// One thing that a reader can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// A step, its purpose here as a clause, such as "raise `max_workers`", and the arguments of
    /// the command.
    Take { step: Step, to: String, arguments: String },
    /// One after the other.
    Then(Vec<Self>),
    /// The same call again, overriding what prevents it.
    Force,
    /// Something that needs no step of this server; the same clause for every reader.
    Do(String),
    /// The same call with something changed, worded for each reader.
    Again { model: String, shell: String },
}

impl Advice {
    /// A step that needs no arguments in a shell.
    pub fn take(step: Step, to: impl Into<String>) -> Self {
        Self::Take { step, to: to.into(), arguments: String::new() }
    }

    /// A step with the arguments that its command takes in a shell.
    pub fn take_with(step: Step, to: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self::Take { step, to: to.into(), arguments: arguments.into() }
    }

    /// The same call again with something changed: as a clause for a model, and for a shell.
    pub fn again(model: impl Into<String>, shell: impl Into<String>) -> Self {
        Self::Again { model: model.into(), shell: shell.into() }
    }

    /// Creating a worker type, from the template of its name where there is one: without a template or a prompt there is none.
    pub fn create_type(to: impl Into<String>, project: &str, worker_type: &str) -> Self {
        let template = if TEMPLATES.contains(&worker_type) { worker_type } else { TEMPLATES[0] };
        let arguments = format!("{project} {worker_type} --template {template}");
        Self::take_with(Step::CreateWorkerType, to, arguments)
    }

    pub fn just(clause: impl Into<String>) -> Self {
        Self::Do(clause.into())
    }

    /// Adds the advice as clauses, each introduced by `joint` and naming the person to ask.
    fn clauses(&self, joint: &'static str, reader: Reader, into: &mut Vec<Clause>) {
        let mut add = |whom, act| into.push(Clause { joint, whom, act });
        match self {
            Self::Take { step, to, arguments } => match step.way(reader) {
                Way::Call(tool) => add(None, format!("{to} with {tool}")),
                Way::Run(command) if arguments.is_empty() => {
                    add(None, format!("{to} with `{command}`"));
                }
                Way::Run(command) => add(None, format!("{to} with `{command} {arguments}`")),
                Way::There(end) => add(None, format!("{to} {end}")),
                Way::Ask(whom) => add(Some(whom), to.clone()),
                Way::Directly => add(None, to.clone()),
            },
            Self::Then(steps) => {
                for (index, step) in steps.iter().enumerate() {
                    step.clauses(if index == 0 { joint } else { ", then " }, reader, into);
                }
            }
            Self::Force => {
                let act = match reader {
                    Reader::Model => "call again with force: true",
                    Reader::Shell => "repeat the command with --force",
                    Reader::Page => "choose the action that does so anyway",
                };
                add(None, act.to_owned());
            }
            Self::Do(act) => add(None, act.clone()),
            Self::Again { model, shell } => {
                let act = match reader {
                    Reader::Model => model,
                    Reader::Shell | Reader::Page => shell,
                };
                add(None, act.clone());
            }
        }
    }
}

/// A part of a sentence of advice: something to do, beginning with a verb in lower case.
struct Clause {
    joint: &'static str,
    whom: Option<&'static str>,
    act: String,
}

/// What happened and what to do about it, as sentences. Any one item of `advice` suffices.
#[must_use]
pub fn told(what: &str, advice: &[Advice], reader: Reader) -> String {
    let mut clauses = Vec::new();
    for advice in advice {
        advice.clauses(", or ", reader, &mut clauses);
    }
    let (mut all, mut asked) = (String::new(), None);
    for Clause { joint, whom, act } in clauses {
        if !all.is_empty() {
            all.push_str(joint);
        }
        match whom {
            Some(whom) if asked == Some(whom) => all.extend(["to ", &act]),
            Some(whom) => all.extend(["ask ", whom, " to ", &act]),
            None => all.push_str(&act),
        }
        asked = whom;
    }
    let mut letters = all.chars();
    match letters.next() {
        None => what.to_owned(),
        Some(first) => format!("{what} {}{}.", first.to_uppercase(), letters.as_str()),
    }
}

/// A setting that raises a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knob {
    AttemptBudget,
    TicketBudget,
    /// For every ticket of a project that has no limit of its own.
    TicketBudgets,
    ProjectBudget,
    ProjectBudgetPerDay,
    ServerBudgetPerDay,
    StageAttempts,
    TicketAttempts,
    Descendants,
    TypeWorkers,
    ProjectWorkers,
    ServerWorkers,
    WaitingCalls,
}

impl Knob {
    pub const ALL: [Self; 13] = [
        Self::AttemptBudget,
        Self::TicketBudget,
        Self::TicketBudgets,
        Self::ProjectBudget,
        Self::ProjectBudgetPerDay,
        Self::ServerBudgetPerDay,
        Self::StageAttempts,
        Self::TicketAttempts,
        Self::Descendants,
        Self::TypeWorkers,
        Self::ProjectWorkers,
        Self::ServerWorkers,
        Self::WaitingCalls,
    ];

    /// Its name, its owner, and the step that changes it.
    #[must_use]
    pub const fn row(self) -> (&'static str, &'static str, Step) {
        const TYPE: (&str, Step) = ("its worker type", Step::UpdateWorkerType);
        const TICKET: (&str, Step) = ("the ticket", Step::UpdateTicket);
        const PROJECT: (&str, Step) = ("the project", Step::UpdateProject);
        const SERVER: (&str, Step) = ("the configuration", Step::Configure);
        let (name, (owner, step)) = match self {
            Self::AttemptBudget => ("max_budget_usd", TYPE),
            Self::TicketBudget => ("max_budget_usd", TICKET),
            Self::TicketBudgets => ("max_budget_usd_per_ticket", PROJECT),
            Self::ProjectBudget => ("max_budget_usd", PROJECT),
            Self::ProjectBudgetPerDay => ("max_budget_usd_per_day", PROJECT),
            Self::ServerBudgetPerDay => ("max_usd_per_day", SERVER),
            Self::StageAttempts => ("max_attempts", TYPE),
            Self::TicketAttempts => ("max_attempts_per_ticket", PROJECT),
            Self::Descendants => ("max_descendants", PROJECT),
            Self::TypeWorkers => ("max_workers", TYPE),
            Self::ProjectWorkers => ("max_workers", PROJECT),
            Self::ServerWorkers => ("max_workers", SERVER),
            Self::WaitingCalls => ("max_waiting_calls", SERVER),
        };
        (name, owner, step)
    }

    /// The name of the field in a tool and in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The setting, for stored texts, which have readers of every kind.
    #[must_use]
    pub fn setting(self) -> String {
        let (name, owner, step) = self.row();
        let within = if matches!(step, Step::Configure) { "in" } else { "of" };
        format!("{name} {within} {owner}")
    }

    /// The advice to raise a setting of the configuration, of which there is only one.
    #[must_use]
    pub fn raise(self) -> Advice {
        let (_, _, step) = self.row();
        Advice::take(step, format!("raise {}", self.setting()))
    }

    /// The advice to raise the setting of `owner`, such as "T-42" or "worker type build"; `place`
    /// is the owner as arguments of a command, such as "shop build".
    #[must_use]
    pub fn raise_of(self, owner: &str, place: &str) -> Advice {
        let (name, _, step) = self.row();
        let value = if name.contains("usd") { "DOLLARS" } else { "N" };
        let arguments = format!("{place} --{} {value}", name.replace('_', "-"));
        Advice::take_with(step, format!("raise {name} of {owner}"), arguments)
    }
}

/// Several settings, for stored texts. Raising any one of them raises the limit.
#[must_use]
pub fn settings(knobs: &[Knob]) -> String {
    let settings: Vec<String> = knobs.iter().map(|knob| knob.setting()).collect();
    settings.join(", or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reader_is_given_its_own_way() {
        let resume = Advice::take_with(Step::Resume, "resume it", "shop build");
        let advice = [resume, Knob::TypeWorkers.raise_of("worker type build", "shop build")];
        assert_eq!(
            told("It waits.", &advice, Reader::Model),
            "It waits. Resume it with resume, or raise max_workers of worker type build with update_worker_type."
        );
        assert_eq!(
            told("It waits.", &advice, Reader::Shell),
            "It waits. Resume it with `vibe-ensemble resume shop build`, or raise max_workers of worker type build with \
             `vibe-ensemble type update shop build --max-workers N`."
        );
        assert_eq!(
            told("It waits.", &advice, Reader::Page),
            "It waits. Resume it with “Resume” on Queues, or raise max_workers of worker type build with “Change” beside it on \
             the page of the project."
        );
        assert_eq!(told("It runs.", &[], Reader::Shell), "It runs.");
    }

    #[test]
    fn a_shell_is_never_advised_to_ask_somebody_else() {
        for step in Step::ALL {
            let way = step.way(Reader::Shell);
            assert!(!matches!(way, Way::Ask(_) | Way::Call(_)), "{step:?}: {way:?}");
        }
    }

    #[test]
    fn one_person_is_asked_once() {
        let configure = |to: &str| Advice::take(Step::Configure, to);
        let advice = [Advice::Then(vec![configure("fix that file"), configure("reload it")])];
        assert_eq!(
            told("On hold.", &advice, Reader::Model),
            "On hold. Ask the operator to fix that file, then to reload it."
        );
    }

    #[test]
    fn only_the_operator_changes_the_configuration() {
        let advice = [Knob::ServerWorkers.raise()];
        assert_eq!(
            told("Full.", &advice, Reader::Model),
            "Full. Ask the operator to raise max_workers in the configuration."
        );
        assert_eq!(
            told("Full.", &advice, Reader::Shell),
            "Full. Raise max_workers in the configuration."
        );
    }

    #[test]
    fn a_stored_text_names_the_setting_and_no_step() {
        for knob in Knob::ALL {
            let setting = knob.setting();
            for step in Step::ALL {
                if let Way::Call(tool) = step.way(Reader::Model) {
                    assert!(!setting.contains(tool), "{setting}");
                }
            }
        }
    }
}
