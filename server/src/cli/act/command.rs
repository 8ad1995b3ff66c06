//! What a command says of itself that the schema of its tool cannot.

/// A command that is one call of a tool.
pub trait Act: Send + Sync + 'static {
    const TOOL: &'static str;
    /// The fields that stand without an option, in their order: the field, its name in the usage, and whether it may be
    /// left out.
    const PLACES: &'static [Place];
    /// The field that `--file`, `-` and an editor are for.
    const TEXT: Option<Text> = None;
    /// Whether it shows something at length, and so has the options that say how output is shown.
    const SHOWS: bool = false;
    /// Fields that the command fills by itself.
    const OWN: &'static [&'static str] = &[];
    /// Fields whose option has another name, or several, the first of which is shown.
    const NAMED: &'static [(&'static str, &'static [&'static str])] = &[];
    /// Required fields that the command can find out when they are left out.
    const FOUND: &'static [&'static str] = &[];
    /// What a field allows in a shell, where that is more than its tool allows; the end of "it must be".
    const ALLOWED: &'static [(&'static str, &'static str)] = &[];
    /// Help in place of what the schema says, where that speaks of tools.
    const HELP: &'static [(&'static str, &'static str)] = &[];
}

/// A field that stands without an option.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub field: &'static str,
    pub name: &'static str,
    pub optional: bool,
}

impl Place {
    #[must_use]
    pub const fn required(field: &'static str, name: &'static str) -> Self {
        Self { field, name, optional: false }
    }

    #[must_use]
    pub const fn optional(field: &'static str, name: &'static str) -> Self {
        Self { field, name, optional: true }
    }
}

/// A string that is worth an editor.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    pub field: &'static str,
    /// Whether there is no call without it.
    pub required: bool,
    /// What the editor shows above the text.
    pub asks: &'static str,
}
