//! Reports and comments: Markdown to a small set of tags.
//!
//! The parser's events are made harmless one by one, and a sanitiser goes over what comes out: either alone would do.

use std::borrow::Cow;
use std::sync::LazyLock;

use ammonia::Builder;
use maud::Markup;
use maud::PreEscaped;
use pulldown_cmark::CowStr;
use pulldown_cmark::Event;
use pulldown_cmark::Options;
use pulldown_cmark::Parser;
use pulldown_cmark::Tag;
use pulldown_cmark::TagEnd;
use pulldown_cmark::html;

use crate::web::text::plain::cut;
use crate::web::text::plain::safe;

/// The longest text that is read as Markdown, in characters; a longer one is cut.
const MOST_CHARS: usize = 200_000;

const TAGS: [&str; 24] = [
    "p",
    "br",
    "hr",
    "em",
    "strong",
    "del",
    "code",
    "pre",
    "blockquote",
    "ul",
    "ol",
    "li",
    "h3",
    "h4",
    "h5",
    "h6",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "span",
    "div",
];

static SANITISER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::empty();
    builder
        .tags(TAGS.into())
        .add_tag_attributes("ol", ["start"])
        .add_tag_attributes("span", ["class", "title"])
        .add_allowed_classes("span", ["link", "image"])
        .rm_tag_attributes("span", ["class"]);
    builder
});

/// Markdown as HTML. No link works: its address is shown, so that it can be read and copied. No image is loaded.
pub(crate) fn markdown(text: &str) -> Markup {
    let (text, is_cut) = cut(text, MOST_CHARS);
    let text = safe(text);
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let events = Harmless { inner: Parser::new_ext(&text, options), open: Vec::new() };
    let mut out = String::with_capacity(text.len() * 2);
    html::push_html(&mut out, events);
    if is_cut {
        out.push_str("<p>…</p>");
    }
    PreEscaped(SANITISER.clean(&out).to_string())
}

/// The events of a parser without raw HTML, links, images and large headings.
struct Harmless<'t> {
    inner: Parser<'t>,
    /// The addresses of the links and images that are open, each with what ends its text.
    open: Vec<String>,
}

impl<'t> Iterator for Harmless<'t> {
    type Item = Event<'t>;

    fn next(&mut self) -> Option<Event<'t>> {
        Some(match self.inner.next()? {
            Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
            Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
            Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
            Event::Start(Tag::Link { dest_url, .. }) => self.opened("link", &dest_url),
            Event::Start(Tag::Image { dest_url, .. }) => self.opened("image", &dest_url),
            Event::End(TagEnd::Link | TagEnd::Image) => {
                let address = self.open.pop().unwrap_or_default();
                Event::InlineHtml(CowStr::from(format!(" ({})</span>", escaped(&address))))
            }
            Event::Start(Tag::Heading { level, id: _, classes: _, attrs: _ }) => {
                Event::Start(Tag::Heading {
                    level: lowered(level),
                    id: None,
                    classes: Vec::new(),
                    attrs: Vec::new(),
                })
            }
            Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lowered(level))),
            Event::TaskListMarker(done) => {
                Event::Text(CowStr::from(if done { "☑ " } else { "☐ " }))
            }
            Event::Start(Tag::CodeBlock(_)) => {
                Event::Start(Tag::CodeBlock(pulldown_cmark::CodeBlockKind::Indented))
            }
            event @ (Event::Start(_)
            | Event::End(_)
            | Event::Text(_)
            | Event::Code(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule) => event,
        })
    }
}

impl Harmless<'_> {
    fn opened<'t>(&mut self, kind: &str, address: &str) -> Event<'t> {
        self.open.push(address.to_owned());
        Event::InlineHtml(CowStr::from(format!("<span class=\"{kind}\">")))
    }
}

/// A page has its own headings above those of a report.
fn lowered(level: pulldown_cmark::HeadingLevel) -> pulldown_cmark::HeadingLevel {
    use pulldown_cmark::HeadingLevel as Level;
    match level {
        Level::H1 => Level::H3,
        Level::H2 => Level::H4,
        Level::H3 => Level::H5,
        Level::H4 | Level::H5 | Level::H6 => Level::H6,
    }
}

fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains(['<', '>', '&', '"', '\'']) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        return text.replace('"', "&quot;").replace('\'', "&#39;").into();
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        markdown(text).into_string()
    }

    #[test]
    fn a_report_keeps_its_structure() {
        let page = shown(
            "# Done\n\n- one\n- **two**\n\n```rust\nlet a = 1;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        );
        for part in [
            "<h3>Done</h3>",
            "<li>one</li>",
            "<strong>two</strong>",
            "<pre><code>let a = 1;",
            "<td>1</td>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }

    #[test]
    fn nothing_in_a_report_is_markup_a_link_that_works_or_an_image() {
        let page = shown(
            "<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n[click](javascript:alert(1)) <b onclick=x>b</b>\n\n\
             ![x](https://evil.example/pixel.png) <https://evil.example> \u{202e}\n\n[a]: javascript:x\n[a]",
        );
        for bad in ["<script", "<img", "<a ", "<b ", "href", "src=\"", "\u{202e}"] {
            assert!(!page.contains(bad), "{bad} is in {page}");
        }
        for good in [
            "&lt;script&gt;",
            "click",
            "(javascript:alert(1))",
            "⟨U+202E⟩",
            "https://evil.example/pixel.png",
        ] {
            assert!(page.contains(good), "{good} is not in {page}");
        }
    }

    #[test]
    fn deep_and_long_texts_end() {
        let deep = format!("{}x", "> ".repeat(10_000));
        assert!(shown(&deep).len() < 10_000_000);
        let long = shown(&"a ".repeat(300_000));
        assert!(long.contains('…') && long.len() < 500_000);
        assert!(shown(&"[".repeat(50_000)).len() < 1_000_000);
    }
}
