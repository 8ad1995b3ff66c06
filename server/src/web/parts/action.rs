//! Buttons: each a small form that calls a tool, with the command that does the same.

use maud::Markup;
use maud::html;
use serde_json::Map;
use serde_json::Value;

use crate::web::assets;
use crate::web::command;
use crate::web::text::Hostile;
use crate::web::visit::Visit;

/// Words that the user adds.
#[derive(Clone, Debug)]
struct Asked {
    field: &'static str,
    label: &'static str,
    rows: u8,
    required: bool,
}

/// What a button does.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    tool: String,
    label: String,
    command: String,
    fields: Vec<(String, String)>,
    asked: Option<Asked>,
    confirm: Option<String>,
    style: &'static str,
    icon: Option<&'static str>,
}

impl Act {
    pub(crate) fn new(
        tool: impl Into<String>,
        label: impl Into<String>,
        command: impl Into<String>,
    ) -> Self {
        Self {
            tool: tool.into(),
            label: label.into(),
            command: command.into(),
            fields: Vec::new(),
            asked: None,
            confirm: None,
            style: "btn",
            icon: None,
        }
    }

    /// A call of a tool with these arguments; its command follows from them.
    pub(crate) fn calling(tool: &str, label: impl Into<String>, arguments: Value) -> Self {
        let Value::Object(arguments) = arguments else { return Self::new(tool, label, "") };
        let command = command::of(tool, &arguments);
        Self::new(tool, label, command).fields(&arguments)
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn fields(mut self, arguments: &Map<String, Value>) -> Self {
        for (name, value) in arguments {
            self.fields.extend(texts(value).into_iter().map(|text| (name.clone(), text)));
        }
        self
    }

    /// The user adds words.
    pub(crate) fn asks(
        self,
        field: &'static str,
        label: &'static str,
        rows: u8,
        required: bool,
    ) -> Self {
        Self { asked: Some(Asked { field, label, rows, required }), ..self }
    }

    /// It cannot be undone.
    pub(crate) fn confirm(self, question: impl Into<String>) -> Self {
        Self { confirm: Some(question.into()), ..self }
    }

    pub(crate) fn primary(self) -> Self {
        Self { style: "btn btn-primary", ..self }
    }

    pub(crate) fn quiet(self) -> Self {
        Self { style: "btn btn-quiet", ..self }
    }

    pub(crate) fn danger(self) -> Self {
        Self { style: "btn btn-danger", ..self }
    }

    pub(crate) fn icon(self, icon: &'static str) -> Self {
        Self { icon: Some(icon), ..self }
    }
}

/// An argument as the texts that a form sends.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => vec![value.to_string()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
    }
}

/// The form of an action. Read-only sessions see it and cannot press it.
pub(crate) fn button(visit: &Visit, act: &Act) -> Markup {
    let may = visit.visitor.may_change();
    html! {
        form .action method="post" action={ "/do/" (act.tool) } data-command=[Some(&act.command).filter(|c| !c.is_empty()).map(|c| Hostile(c))]
            data-confirm=[act.confirm.as_deref().map(Hostile)] {
            input type="hidden" name="csrf" value=(visit.visitor.csrf);
            input type="hidden" name="back" value=(visit.here);
            @for (name, value) in &act.fields { input type="hidden" name=(name) value=(value); }
            @if let Some(asked) = &act.asked {
                textarea .answer name=(asked.field) rows=(asked.rows) aria-label=(asked.label) placeholder=(asked.label)
                    required[asked.required] disabled[!may] {}
            }
            button class=(act.style) disabled[!may] title=[(!may).then_some("This session is read-only.")] {
                @if let Some(icon) = act.icon { (assets::icon(icon)) " " }
                (Hostile(&act.label))
            }
        }
    }
}

/// Actions that are not needed every day, behind one button.
pub(crate) fn menu(visit: &Visit, label: &str, acts: Vec<Act>) -> Markup {
    html! {
        details .menu {
            summary .btn.btn-icon aria-label=(label) title=(label) { (assets::icon("dots")) }
            div .menu-items { @for act in acts { (button(visit, &act)) } }
        }
    }
}
