//! What a `rate_limit_event` says about the account's usage limits.
//!
//! A limit has windows: of five hours, of a week, and of a week for one family of models alone. The
//! last kind says nothing about work with other models, so it is kept apart.

use std::ops::RangeInclusive;

use serde_json::Map;
use serde_json::Value;
use shim_protocol::exit::ModelLimit;
use shim_protocol::exit::UsageLimit;

/// Names of windows begin with one of these; the rest names what the window is limited to.
const SPANS: [&str; 2] = ["seven_day_", "five_hour_"];
/// Windows with such a name that belong to no model.
const NO_MODELS: [&str; 1] = ["oauth_apps"];
/// How many windows a record keeps, and how many bytes of a name. The service has a handful.
const WINDOWS: usize = 16;
const NAME: usize = 64;

/// What a window is called that ends after five hours, alone or for a family of models.
const SHORT: &str = "five_hour";
/// The furthest reset of such a window: its length, and an hour for clocks that disagree.
const SHORT_MS: i64 = 6 * 3_600_000;
/// A share of a limit that is used. Paid overage goes beyond the whole; nothing goes far beyond it.
const SHARES: RangeInclusive<f64> = 0.0..=10.0;

/// One window, as the event reports it.
struct Window {
    name: String,
    utilization: Option<f64>,
    resets_at_ms: Option<i64>,
    rejected: bool,
}

/// Reads the event's `rate_limit_info`. Of several windows of the account, the one nearest to its
/// limit is used; for a refusal, the one that it is about.
///
/// An agent that writes into the stream of its own claude can say anything here: a share that cannot be is none, and a
/// window of five hours is reset within them.
pub(super) fn usage_limit(info: &Value, now_ms: i64) -> Option<UsageLimit> {
    let info = info.as_object()?;
    let text = |name: &str| info.get(name).and_then(Value::as_str);
    let is = |name: &str| info.get(name).and_then(Value::as_bool) == Some(true);
    let overdrawn = is("isUsingOverage") || is("overageInUse");
    // Work beyond the limit may still be served, from what is paid for in addition. That work could
    // not go beyond the limit is no refusal unless a window is beyond it.
    let rejected = match text("overageStatus") {
        Some("rejected") if overdrawn => true,
        Some("allowed" | "allowed_warning") if overdrawn => false,
        _ => text("status") == Some("rejected"),
    };
    let windows = windows(info, now_ms);
    let refused = windows.iter().find(|window| window.rejected).map(|window| window.name.as_str());
    let name = text("rateLimitType").or(refused.filter(|_| rejected)).unwrap_or_default();
    let told = Window {
        name: name.to_owned(),
        utilization: info.get("utilization").and_then(share),
        resets_at_ms: info.get("resetsAt").and_then(|at| reset_of(name, at, now_ms)),
        rejected,
    };
    let of_models = windows.iter().filter(|window| is_of_a_model(&window.name));
    let mut models: Vec<ModelLimit> = of_models.map(model_limit).collect();
    let own: Vec<&Window> = windows.iter().filter(|window| !is_of_a_model(&window.name)).collect();
    let nearest = own
        .iter()
        .filter(|window| window.utilization.is_some())
        .max_by(|a, b| a.utilization.unwrap_or(0.0).total_cmp(&b.utilization.unwrap_or(0.0)));
    let nearest_share = nearest.and_then(|window| window.utilization);
    let nearest_reset = nearest.and_then(|window| window.resets_at_ms);
    if is_of_a_model(&told.name) {
        models.retain(|limit| limit.window != told.name);
        let same = windows.iter().find(|window| window.name == told.name);
        models.push(ModelLimit {
            window: told.name.chars().take(NAME).collect(),
            rejected,
            resets_at_ms: told.resets_at_ms.or(same.and_then(|window| window.resets_at_ms)),
            utilization: same.and_then(|window| window.utilization).or(told.utilization),
        });
        return Some(UsageLimit {
            rejected: false,
            resets_at_ms: nearest_reset,
            utilization: nearest_share,
            told_at_ms: None,
            models,
        });
    }
    let resets_at_ms = if rejected {
        told.resets_at_ms.or_else(|| reset_of_a_refusal(&told.name, &own))
    } else {
        nearest_reset.or(told.resets_at_ms)
    };
    let utilization = nearest_share.or(told.utilization);
    Some(UsageLimit { rejected, resets_at_ms, utilization, told_at_ms: None, models })
}

/// When the refused window is reset, if the event itself does not say so: that of the window that
/// it names, else of a window that is marked as refused or is used up, or, if it names none, of the
/// only one. Another window may end days later.
fn reset_of_a_refusal(name: &str, windows: &[&Window]) -> Option<i64> {
    let latest = |fits: &dyn Fn(&Window) -> bool| {
        let fitting = windows.iter().filter(|window| fits(window));
        fitting.filter_map(|window| window.resets_at_ms).max()
    };
    latest(&|window| window.name == name)
        .or_else(|| latest(&|window| window.rejected))
        .or_else(|| latest(&|window| window.utilization.is_some_and(|share| share >= 1.0)))
        .or_else(|| latest(&|_| windows.len() == 1 && name.is_empty()))
}

fn windows(info: &Map<String, Value>, now_ms: i64) -> Vec<Window> {
    let windows = info.get("unifiedWindows").and_then(Value::as_object);
    let window = |(name, window): (&String, &Value)| Window {
        name: name.chars().take(NAME).collect(),
        utilization: window.get("utilization").and_then(share),
        resets_at_ms: window.get("resetsAt").and_then(|at| reset_of(name, at, now_ms)),
        rejected: window.get("status").and_then(Value::as_str) == Some("rejected"),
    };
    windows.into_iter().flatten().take(WINDOWS).map(window).collect()
}

fn model_limit(window: &Window) -> ModelLimit {
    ModelLimit {
        window: window.name.clone(),
        rejected: window.rejected,
        resets_at_ms: window.resets_at_ms,
        utilization: window.utilization,
    }
}

fn is_of_a_model(window: &str) -> bool {
    let rest = SPANS.iter().find_map(|span| window.strip_prefix(span));
    rest.is_some_and(|rest| !rest.is_empty() && !NO_MODELS.contains(&rest))
}

fn share(value: &Value) -> Option<f64> {
    value.as_f64().filter(|share| SHARES.contains(share))
}

/// When a window is reset, unless it says a time that such a window cannot reach.
fn reset_of(window: &str, at: &Value, now_ms: i64) -> Option<i64> {
    let is_possible =
        |at: &i64| !window.starts_with(SHORT) || *at <= now_ms.saturating_add(SHORT_MS);
    time_ms(at).filter(is_possible)
}

/// Seconds, and in some versions milliseconds.
fn time_ms(at: &Value) -> Option<i64> {
    let at = at.as_i64()?;
    Some(if at < 100_000_000_000 { at.saturating_mul(1000) } else { at })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RESET: i64 = 1_795_900_000;

    fn read(info: &Value) -> UsageLimit {
        usage_limit(info, (RESET - 3_600) * 1_000).expect("it is an object")
    }

    fn account(rejected: bool, resets_at: Option<i64>, utilization: Option<f64>) -> UsageLimit {
        let resets_at_ms = resets_at.map(|at| at * 1000);
        UsageLimit { rejected, resets_at_ms, utilization, ..UsageLimit::default() }
    }

    #[test]
    fn a_refusal_takes_its_reset_from_the_window_it_is_for() {
        let windows = json!({"five_hour": {"utilization": 0.2, "resetsAt": RESET - 9},
            "seven_day": {"utilization": 1.0, "resetsAt": RESET}});
        let of = |kind: Option<&str>, windows: &Value| {
            read(&json!({"status": "rejected", "rateLimitType": kind, "unifiedWindows": windows}))
        };
        assert_eq!(of(Some("seven_day"), &windows), account(true, Some(RESET), Some(1.0)));
        assert_eq!(of(Some("five_hour"), &windows), account(true, Some(RESET - 9), Some(1.0)));
        assert_eq!(of(None, &windows), account(true, Some(RESET), Some(1.0)), "it is used up");
        let says_so = json!({"five_hour": {"status": "rejected", "resetsAt": RESET - 9},
            "seven_day": {"status": "allowed", "resetsAt": RESET}});
        assert_eq!(of(None, &says_so), account(true, Some(RESET - 9), None));
        let only = json!({"seven_day": {"resetsAt": RESET}});
        assert_eq!(of(None, &only), account(true, Some(RESET), None));
        assert_eq!(of(None, &json!({})), account(true, None, None), "nobody knows");
        let other = json!({"seven_day": {"utilization": 0.4, "resetsAt": RESET}});
        assert_eq!(of(Some("five_hour"), &other), account(true, None, Some(0.4)));
    }

    #[test]
    fn the_limit_of_a_model_is_no_limit_of_the_account() {
        let limit = read(
            &json!({"status": "rejected", "resetsAt": RESET, "rateLimitType": "seven_day_opus",
            "unifiedWindows": {"five_hour": {"utilization": 0.3, "resetsAt": RESET - 9}}}),
        );
        let opus = ModelLimit {
            window: "seven_day_opus".to_owned(),
            rejected: true,
            resets_at_ms: Some(RESET * 1000),
            utilization: None,
        };
        let expected = account(false, Some(RESET - 9), Some(0.3));
        assert_eq!(limit, UsageLimit { models: vec![opus.clone()], ..expected });
        // If only the window says what is refused, and until when.
        let limit = read(&json!({"status": "rejected", "unifiedWindows":
            {"seven_day_opus": {"utilization": 1.0, "status": "rejected", "resetsAt": RESET}}}));
        let opus = ModelLimit { utilization: Some(1.0), ..opus };
        assert_eq!(limit, UsageLimit { models: vec![opus], ..account(false, None, None) });
        // A nearly used-up window does not concern other models either.
        let limit = read(&json!({"status": "allowed_warning", "unifiedWindows":
            {"seven_day_sonnet": {"utilization": 0.97, "resetsAt": RESET},
             "seven_day": {"utilization": 0.4, "resetsAt": RESET + 9}}}));
        assert_eq!((limit.rejected, limit.utilization), (false, Some(0.4)));
        assert_eq!(limit.models[0].utilization, Some(0.97));
        // The window for sign-ins to other programs belongs to the account.
        let limit = read(
            &json!({"status": "rejected", "resetsAt": RESET, "rateLimitType": "seven_day_oauth_apps"}),
        );
        assert_eq!(limit, account(true, Some(RESET), None));
    }

    #[test]
    fn a_share_or_a_reset_that_cannot_be_is_not_believed() {
        for share in ["1e308", "-1", "11", "\"0.99\"", "null"] {
            let info =
                format!(r#"{{"status":"allowed","utilization":{share},"resetsAt":{RESET}}}"#);
            let info = serde_json::from_str(&info).expect("it is JSON");
            assert_eq!(read(&info), account(false, Some(RESET), None), "{share}");
        }
        let far = RESET + 6 * 3_600;
        let short = json!({"five_hour": {"utilization": 0.99, "resetsAt": far}});
        let info = json!({"status": "allowed", "unifiedWindows": short});
        assert_eq!(read(&info), account(false, None, Some(0.99)));
        let refused = json!({"status": "rejected", "rateLimitType": "five_hour", "resetsAt": far});
        assert_eq!(read(&refused), account(true, None, None));
        let long = json!({"status": "rejected", "rateLimitType": "seven_day", "resetsAt": far});
        assert_eq!(read(&long), account(true, Some(far), None));
    }

    #[test]
    fn beyond_the_limit_paid_overage_decides() {
        let of = |status: &str, overage: &str, sign: &str| {
            let mut info = json!({"status": status, "resetsAt": RESET, "rateLimitType": "five_hour",
                "utilization": 1.0, "overageStatus": overage});
            info[sign] = json!(true);
            read(&info).rejected
        };
        for sign in ["isUsingOverage", "overageInUse"] {
            assert!(!of("allowed", "allowed", sign), "{sign}");
            assert!(!of("rejected", "allowed_warning", sign), "{sign}");
            assert!(of("allowed", "rejected", sign), "{sign}");
        }
        assert!(of("rejected", "allowed", "somethingElse"));
        assert!(!of("allowed", "rejected", "somethingElse"));
    }
}
