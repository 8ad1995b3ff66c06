//! `#[e2e::scenario]`, used instead of `#[test]`.
//!
//! The built-in test harness decides at compile time which tests are ignored. Scenarios must decide
//! that at run time: whether the real `claude` is installed is a property of the machine, and a
//! test that did nothing must not be reported as passed. So scenarios are registered with a harness
//! of their own, `e2e::harness`.
#![forbid(unsafe_code)]

use proc_macro::Delimiter;
use proc_macro::Ident;
use proc_macro::TokenStream;
use proc_macro::TokenTree;

/// Registers a function as a scenario. The function takes no arguments and may be `async`; an
/// asynchronous one runs on a single-threaded tokio runtime of its own, as under `#[tokio::test]`.
///
/// `#[e2e::scenario(needs(Claude, Root))]` names what the scenario needs from the machine, as
/// variants of `e2e::needs::Need`. If one of them is missing, the scenario is reported as ignored,
/// with the reason.
#[proc_macro_attribute]
pub fn scenario(arguments: TokenStream, function: TokenStream) -> TokenStream {
    match expanded(arguments, &function) {
        // Lints that make an exception for tests, such as the one against `unwrap`, recognize a
        // test by this attribute.
        Ok(registration) => {
            parsed("#[cfg(test)]").into_iter().chain(function).chain(registration).collect()
        }
        // The function is kept, so that this error is the only one reported.
        Err(problem) => {
            function.into_iter().chain(parsed(&format!("compile_error!({problem:?});"))).collect()
        }
    }
}

/// The item that registers `function`.
fn expanded(arguments: TokenStream, function: &TokenStream) -> Result<TokenStream, &'static str> {
    let needs = needs(arguments)?;
    let needs: Vec<String> =
        needs.iter().map(|need| format!("::e2e::needs::Need::{need}")).collect();
    let needs = needs.join(", ");
    let (name, is_async) = signature(function)?;
    let run =
        if is_async { format!("::e2e::harness::block_on({name}())") } else { format!("{name}()") };
    Ok(parsed(&format!(
        "::e2e::harness::submit! {{ ::e2e::harness::Scenario::new(\
         ::core::module_path!(), {:?}, &[{needs}], || {run}) }}",
        name.to_string()
    )))
}

/// The names in `needs(A, B)`; none without an argument.
fn needs(arguments: TokenStream) -> Result<Vec<Ident>, &'static str> {
    const FORM: &str = "expected #[scenario] or #[scenario(needs(Need, ...))]";
    let mut arguments = arguments.into_iter();
    let (name, group) = (arguments.next(), arguments.next());
    let group = match (name, group, arguments.next()) {
        (None, None, None) => return Ok(Vec::new()),
        (Some(TokenTree::Ident(name)), Some(TokenTree::Group(group)), None)
            if name.to_string() == "needs" && group.delimiter() == Delimiter::Parenthesis =>
        {
            group
        }
        _ => return Err(FORM),
    };
    let mut names = Vec::new();
    for token in group.stream() {
        match token {
            TokenTree::Ident(name) => names.push(name),
            TokenTree::Punct(comma) if comma.as_char() == ',' => {}
            TokenTree::Punct(_) | TokenTree::Literal(_) | TokenTree::Group(_) => return Err(FORM),
        }
    }
    Ok(names)
}

/// The name after `fn`, and whether `async` precedes it. Attributes are groups, so no word in them
/// is mistaken for one.
fn signature(function: &TokenStream) -> Result<(Ident, bool), &'static str> {
    let mut is_async = false;
    let mut tokens = function.clone().into_iter();
    while let Some(token) = tokens.next() {
        let TokenTree::Ident(word) = token else { continue };
        match word.to_string().as_str() {
            "async" => is_async = true,
            "fn" => {
                return match tokens.next() {
                    Some(TokenTree::Ident(name)) => Ok((name, is_async)),
                    _ => Err("expected a name after fn"),
                };
            }
            _ => {}
        }
    }
    Err("#[scenario] stands above a function")
}

fn parsed(text: &str) -> TokenStream {
    text.parse().expect("this text is Rust")
}
