//! The parameters of each method, to name the field of a wrong one.
//!
//! The SDK reads a request into the first of its shapes that fits. When the parameters fit none, it takes the method
//! for an unknown one, and would answer the client so.

use serde_json::Value;

/// One parameter, by its path below `params`.
struct Param {
    path: &'static str,
    kind: Kind,
    required: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Object,
    /// The id of a request or of its progress: a string or a whole number.
    Token,
}

const fn needed(path: &'static str, kind: Kind) -> Param {
    Param { path, kind, required: true }
}

const fn optional(path: &'static str, kind: Kind) -> Param {
    Param { path, kind, required: false }
}

/// The parameters that every request may have.
const META: [Param; 2] =
    [optional("_meta", Kind::Object), optional("_meta.progressToken", Kind::Token)];

const CURSOR: &[Param] = &[optional("cursor", Kind::Text)];

/// The methods that are served, each with its parameters.
const METHODS: &[(&str, &[Param])] = &[
    (
        "initialize",
        &[
            needed("protocolVersion", Kind::Text),
            needed("capabilities", Kind::Object),
            needed("clientInfo", Kind::Object),
            needed("clientInfo.name", Kind::Text),
            needed("clientInfo.version", Kind::Text),
            optional("clientInfo.title", Kind::Text),
        ],
    ),
    ("ping", &[]),
    ("server/discover", &[]),
    ("tools/list", CURSOR),
    ("tools/call", &[needed("name", Kind::Text), optional("arguments", Kind::Object)]),
    ("resources/list", CURSOR),
    ("resources/templates/list", CURSOR),
    ("resources/read", &[needed("uri", Kind::Text)]),
    ("prompts/list", CURSOR),
    ("prompts/get", &[needed("name", Kind::Text), optional("arguments", Kind::Object)]),
];

/// What is wrong with the parameters of a request that the SDK could not read; `None` when its method is not served.
pub(crate) fn wrong_params(method: &str, params: Option<&Value>) -> Option<String> {
    METHODS.iter().find(|(name, _)| *name == method)?;
    let unknown = || format!("{method}: params are not as the protocol defines them");
    Some(found_wrong(method, params).unwrap_or_else(unknown))
}

/// What is wrong with the parameters of a request whose method requires none. The SDK ignores wrong ones, so a list
/// would begin again instead of continuing.
pub(crate) fn wrong_options(method: &str, body: &[u8]) -> Option<String> {
    let (_, own) = METHODS.iter().find(|(name, _)| *name == method)?;
    if own.iter().any(|param| param.required) {
        return None;
    }
    let message: Value = serde_json::from_slice(body).ok()?;
    found_wrong(method, message.get("params"))
}

fn found_wrong(method: &str, params: Option<&Value>) -> Option<String> {
    let (_, own) = METHODS.iter().find(|(name, _)| *name == method)?;
    if let Some(params) = params
        && !params.is_object()
        && !params.is_null()
    {
        return Some(format!("{method}: params is {}; it must be an object", named(params)));
    }
    let wrong: Vec<String> =
        own.iter().chain(&META).filter_map(|param| param.wrong(params)).collect();
    (!wrong.is_empty()).then(|| format!("{method}: {}", wrong.join("; ")))
}

impl Param {
    fn wrong(&self, params: Option<&Value>) -> Option<String> {
        let Self { path, kind, required } = self;
        let (above, name) = path.rsplit_once('.').map_or((None, *path), |(a, n)| (Some(a), n));
        let mut holder = params;
        for part in above.into_iter().flat_map(|above| above.split('.')) {
            // A parent that is missing or not an object is reported by its own line.
            holder = Some(holder?.get(part).filter(|value| value.is_object())?);
        }
        let wanted = kind.wanted();
        match holder.and_then(|holder| holder.get(name)) {
            None if *required => Some(format!("params.{path} is missing; it must be {wanted}")),
            None => None,
            Some(Value::Null) if !required => None,
            Some(value) if kind.fits(value) => None,
            Some(value) => Some(format!("params.{path} is {}; it must be {wanted}", named(value))),
        }
    }
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Object => value.is_object(),
            Self::Token => value.is_string() || value.is_i64() || value.is_u64(),
        }
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Object => "an object",
            Self::Token => "a string or a whole number",
        }
    }
}

/// The type of a value, for an error that does not repeat it.
const fn named(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_wrong_field_is_named() {
        let told = |method: &str, params: Value| wrong_params(method, Some(&params)).unwrap();
        assert_eq!(
            told("initialize", json!({"protocolVersion": 5, "capabilities": {}})),
            "initialize: params.protocolVersion is a number; it must be a string; params.clientInfo is missing; it must be \
             an object"
        );
        let client =
            json!({"protocolVersion": "x", "capabilities": {}, "clientInfo": {"name": "a"}});
        assert_eq!(
            told("initialize", client),
            "initialize: params.clientInfo.version is missing; it must be a string"
        );
        assert_eq!(
            told("tools/call", json!({"name": "a", "arguments": "{}"})),
            "tools/call: params.arguments is a string; it must be an object"
        );
        assert_eq!(
            told("tools/list", json!({"cursor": 5, "_meta": {"progressToken": 1.5}})),
            "tools/list: params.cursor is a number; it must be a string; params._meta.progressToken is a number; it must \
             be a string or a whole number"
        );
        assert_eq!(told("ping", json!([])), "ping: params is a list; it must be an object");
        assert_eq!(
            wrong_params("resources/read", None).unwrap(),
            "resources/read: params.uri is missing; it must be a string"
        );
        assert_eq!(wrong_params("coffee/make", None), None);
    }
}
