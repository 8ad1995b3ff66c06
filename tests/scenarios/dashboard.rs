//! The dashboard over HTTP: who is let in, what a form may do, and that nothing an agent wrote acts on a page.

use std::io::Write as _;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::server::Setup;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;
use serde_json::json;

/// A browser, as far as the server can tell.
struct Browser {
    http: reqwest::Client,
    base: String,
    cookie: Option<String>,
}

impl Browser {
    /// One without a session.
    fn stranger(bed: &Bed) -> Self {
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let base = format!("http://{}", bed.server.address());
        Self { http: http.build().expect("a client"), base, cookie: None }
    }

    /// One that has opened a new link.
    async fn with_link(bed: &Bed, args: &[&str]) -> Self {
        let mut browser = Self::stranger(bed);
        let link = link(bed, args).await;
        let response = browser.http.get(&link).send().await.expect("the server is up");
        assert_eq!(response.status(), StatusCode::OK);
        let cookie = response.headers()["set-cookie"].to_str().expect("text").to_owned();
        for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        browser.cookie = cookie.split(';').next().map(str::to_owned);
        browser
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Response {
        self.request(reqwest::Method::GET, path).send().await.expect("the server is up")
    }

    /// A page that is there.
    async fn page(&self, path: &str) -> String {
        let response = self.get(path).await;
        let status = response.status();
        let text = response.text().await.expect("text");
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        text
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.page(path).await).expect("JSON")
    }

    /// The token that forms of its pages carry.
    async fn csrf(&self) -> String {
        let page = self.page("/").await;
        let (_, rest) = page.split_once("<meta name=\"csrf\" content=\"").expect("a token");
        rest.split('"').next().expect("its end").to_owned()
    }

    /// Sends a form with the session's token, as a script does.
    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> (StatusCode, Value) {
        let csrf = self.csrf().await;
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(fields);
        let request =
            self.request(reqwest::Method::POST, path).header("accept", "application/json");
        let response =
            request.header("content-type", FORM).body(form(&all)).send().await.expect("an answer");
        let status = response.status();
        (status, response.json().await.expect("JSON"))
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn form(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| -> String {
        text.bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect()
    };
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A new link, as the command prints it.
async fn link(bed: &Bed, args: &[&str]) -> String {
    let output = bed.server.operate("dashboard", &[&["--print"], args].concat()).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// A project whose workers never start by themselves.
async fn quiet_bed() -> Bed {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    bed
}

async fn asked(bed: &Bed, question: &str) -> String {
    let ticket = bed.ticket("shop", &["build"], "").await;
    let ends = json!({"ticket_id": ticket, "stage": "build", "outcome": "blocked", "report": "r", "question": question});
    bed.client.ok("complete_ticket_stage", ends).await;
    ticket
}

const PAGES: [&str; 18] = [
    "/",
    "/board",
    "/tickets",
    "/tickets?state=closed",
    "/tickets?sort=cost&dir=asc&q=a",
    "/workers",
    "/workers?state=stopped",
    "/queues",
    "/events",
    "/search?q=coupon",
    "/usage",
    "/usage?by=ticket",
    "/failures",
    "/projects",
    "/projects/shop",
    "/settings",
    "/new/ticket",
    "/edit/project/shop",
];

#[e2e::scenario]
async fn a_link_opens_one_session_and_without_one_every_page_says_how_to_get_it() {
    let bed = quiet_bed().await;
    let stranger = Browser::stranger(&bed);
    for path in PAGES {
        let response = stranger.get(path).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        let page = response.text().await.expect("text");
        assert!(
            page.contains("vibe-ensemble dashboard") && !page.contains("shop"),
            "{path}: {page}"
        );
    }
    let link = link(&bed, &[]).await;
    assert!(link.contains("/login?code="), "{link}");
    assert_eq!(stranger.http.get(&link).send().await.expect("up").status(), StatusCode::OK);
    let again = stranger.http.get(&link).send().await.expect("up");
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED, "a link is good once");
    assert!(again.headers().get("set-cookie").is_none());
    let browser = Browser::with_link(&bed, &[]).await;
    for path in PAGES {
        let response = browser.get(path).await;
        secured(response.headers());
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let page = response.text().await.expect("text");
        assert!(
            page.contains("id=\"main\"")
                && !page.contains("style=\"")
                && !page.contains("<script>"),
            "{path}"
        );
    }
}

fn secured(headers: &HeaderMap) {
    let policy = headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["x-frame-options"], "DENY");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert_eq!(headers["cache-control"], "no-store");
    assert!(headers.get("access-control-allow-origin").is_none());
}

#[e2e::scenario]
async fn a_session_outlives_the_server_and_ends_when_it_is_revoked() {
    let mut bed = quiet_bed().await;
    let first = Browser::with_link(&bed, &[]).await;
    let second = Browser::with_link(&bed, &[]).await;
    bed.server.restart().await;
    bed.client = bed.server.client();
    // The port is a part of the cookie's name, and may be another one now.
    let port = bed.server.address().rsplit(':').next().expect("a port").to_owned();
    let renamed = |browser: &Browser| Browser {
        http: browser.http.clone(),
        base: format!("http://{}", bed.server.address()),
        cookie: browser.cookie.as_ref().map(|cookie| {
            format!("vibe-ensemble-{port}={}", cookie.split('=').nth(1).expect("a value"))
        }),
    };
    let (first, second) = (renamed(&first), renamed(&second));
    assert!(first.page("/settings").await.contains("S-2"));
    let (status, answer) = first.send("/settings/revoke", &[("session", "S-2")]).await;
    assert_eq!((status, &answer["ok"]), (StatusCode::OK, &json!(true)));
    assert_eq!(second.get("/").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(first.get("/").await.status(), StatusCode::OK);
    let output = bed.server.operate("dashboard", &["--revoke"]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 session has ended"), "{output:?}");
    assert_eq!(first.get("/").await.status(), StatusCode::UNAUTHORIZED);
}

#[e2e::scenario]
async fn a_new_token_of_the_coordinator_ends_every_session() {
    let bed = quiet_bed().await;
    let browser = Browser::with_link(&bed, &[]).await;
    let output = bed.server.operate("rotate-token", &[]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(browser.get("/").await.status(), StatusCode::UNAUTHORIZED);
}

#[e2e::scenario]
async fn a_cookie_opens_pages_and_nothing_else() {
    let bed = quiet_bed().await;
    let browser = Browser::with_link(&bed, &[]).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let post = |path: &str| browser.request(reqwest::Method::POST, path).json(&call).send();
    for path in ["/mcp", "/dashboard/link", "/dashboard/revoke"] {
        assert_eq!(post(path).await.expect("up").status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(browser.get("/status").await.status(), StatusCode::UNAUTHORIZED);
    // And the token opens no page: a browser that has only that was never let in.
    let stranger = Browser::stranger(&bed);
    let with_token = stranger.request(reqwest::Method::GET, "/").bearer_auth(bed.server.token());
    assert_eq!(with_token.send().await.expect("up").status(), StatusCode::UNAUTHORIZED);
    assert!(bed.reachable().await);
}

#[e2e::scenario]
async fn a_form_needs_its_token_its_origin_and_a_session_that_may_change_something() {
    let bed = quiet_bed().await;
    let browser = Browser::with_link(&bed, &[]).await;
    let csrf = browser.csrf().await;
    let post = |fields: &[(&str, &str)], header: (&'static str, &'static str)| {
        let request =
            browser.request(reqwest::Method::POST, "/do/pause").header("content-type", FORM);
        request.header(header.0, header.1).body(form(fields)).send()
    };
    let good = [("csrf", csrf.as_str())];
    let none = ("accept", "text/html");
    let wrong = "0".repeat(64);
    let refused = [
        post(&[], none).await,
        post(&[("csrf", "")], none).await,
        post(&[("csrf", wrong.as_str())], none).await,
        post(&good, ("origin", "http://evil.example")).await,
        post(&good, ("origin", "null")).await,
        post(&good, ("sec-fetch-site", "cross-site")).await,
        post(&good, ("sec-fetch-site", "same-site")).await,
        post(&good, ("host", "evil.example")).await,
    ];
    for (at, response) in refused.into_iter().enumerate() {
        assert_eq!(response.expect("up").status(), StatusCode::FORBIDDEN, "{at}");
    }
    let other = Browser::with_link(&bed, &[]).await;
    let foreign = other.csrf().await;
    assert_eq!(
        post(&[("csrf", foreign.as_str())], none).await.expect("up").status(),
        StatusCode::FORBIDDEN
    );
    let looks = Browser::with_link(&bed, &["--read-only"]).await;
    let (status, _) = looks.send("/do/pause", &[]).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(looks.page("/").await.contains("Read-only"));
    let queues = bed.client.ok("list_queues", json!({})).await;
    assert_eq!(queues["queues"][0]["paused"], false, "nobody paused anything");
    let done = post(&good, none).await.expect("up");
    assert_eq!(
        (done.status(), done.headers()["location"].as_bytes()),
        (StatusCode::SEE_OTHER, &b"/"[..])
    );
    let queues = bed.client.ok("list_queues", json!({})).await;
    assert_eq!(queues["queues"][0]["paused"], true);
    let log = browser.page("/events").await;
    assert!(
        log.contains("server paused") && log.contains("dashboard <span class=\"muted\">S-1</span>"),
        "{log}"
    );
}

#[e2e::scenario]
async fn a_read_only_session_sees_every_page_and_may_end_itself() {
    let bed = quiet_bed().await;
    let looks = Browser::with_link(&bed, &["--read-only"]).await;
    for path in PAGES {
        assert_eq!(looks.get(path).await.status(), StatusCode::OK, "{path}");
    }
    for (path, fields) in [
        ("/do/create_project", vec![("name", "x")]),
        ("/do/bulk", vec![("act", "close"), ("all", "1")]),
        ("/settings/revoke", vec![("session", "all")]),
    ] {
        let (status, answer) = looks.send(path, &fields).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {answer}");
    }
    let (status, _) = looks.send("/settings/revoke", &[("session", "S-1")]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(looks.get("/").await.status(), StatusCode::UNAUTHORIZED);
}

#[e2e::scenario]
async fn without_authentication_pages_need_no_session_and_forms_need_their_token() {
    let bed = Bed::with(Setup::default().arg("--auth").arg("none")).await;
    bed.project("shop", &["build"]).await;
    let browser = Browser::stranger(&bed);
    assert!(browser.page("/projects/shop").await.contains("shop"));
    let without = browser.request(reqwest::Method::POST, "/do/pause").send().await.expect("up");
    assert_eq!(without.status(), StatusCode::FORBIDDEN);
    let (status, answer) = browser.send("/do/pause", &[]).await;
    assert_eq!((status, &answer["command"]), (StatusCode::OK, &json!("vibe-ensemble pause")));
}

#[e2e::scenario]
async fn only_names_that_are_allowed_reach_the_pages() {
    let bed =
        Bed::with(Setup::default().arg("--allowed-hosts").arg("dash.example,localhost:8080")).await;
    let browser = Browser::stranger(&bed);
    let status = async |host: &str, origin: Option<&str>| {
        let mut request = browser.request(reqwest::Method::GET, "/").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.send().await.expect("up").status()
    };
    assert_eq!(
        status("dash.example", Some("https://dash.example")).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(status("localhost:8080", None).await, StatusCode::UNAUTHORIZED);
    for (host, origin) in [
        ("evil.example", None),
        ("dash.example:81", None),
        ("dash.example", Some("https://evil.example")),
    ] {
        assert_eq!(status(host, origin).await, StatusCode::FORBIDDEN, "{host}");
    }
}

#[e2e::scenario]
async fn a_question_is_answered_in_place() {
    let bed = quiet_bed().await;
    let ticket = asked(&bed, "Red or blue?").await;
    let browser = Browser::with_link(&bed, &[]).await;
    for path in ["/", &format!("/tickets/{ticket}")] {
        let page = browser.page(path).await;
        for part in ["Red or blue?", "action=\"/do/resume_ticket\"", "vibe-ensemble answer"] {
            assert!(page.contains(part), "{path}: {part}");
        }
    }
    let (status, answer) =
        browser.send("/do/resume_ticket", &[("ticket_id", &ticket), ("comment", "Blue.")]).await;
    assert_eq!((status, &answer["ok"]), (StatusCode::OK, &json!(true)), "{answer}");
    let found = bed.get(&ticket).await;
    assert_eq!(found["state"], "queued");
    assert_eq!(
        found["comments"].as_array().expect("a list").last().expect("one")["content"],
        "Blue."
    );
    let (status, answer) = browser.send("/do/resume_ticket", &[("ticket_id", &ticket)]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        text(&answer, "said").contains("not on hold") || text(&answer, "said").contains("queued"),
        "{answer}"
    );
}

#[e2e::scenario]
async fn a_wrong_field_is_named_and_what_is_made_is_shown() {
    let bed = quiet_bed().await;
    let browser = Browser::with_link(&bed, &[]).await;
    let (status, answer) = browser
        .send(
            "/do/create_ticket",
            &[("project", "shop"), ("title", "x"), ("execution_plan", "bild")],
        )
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let (status, answer) = browser
        .send("/do/create_ticket", &[("project", "shop"), ("execution_plan", "build")])
        .await;
    assert_eq!(
        (status, &answer["fields"][0]["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("title")),
        "{answer}"
    );
    let fields = [
        ("project", "shop"),
        ("title", "A title"),
        ("execution_plan", "build\r\nbuild"),
        ("description", "a\r\nb"),
    ];
    let (status, answer) = browser.send("/do/create_ticket", &fields).await;
    assert_eq!((status, &answer["location"]), (StatusCode::OK, &json!("/tickets/T-1")), "{answer}");
    let found = bed.get("T-1").await;
    assert_eq!(
        (&found["execution_plan"], &found["description"]),
        (&json!(["build", "build"]), &json!("a\nb"))
    );
    let (status, _) = browser.send("/do/list_tickets", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "what only reads is no action");
}

const ATTACK: &str = "<script>alert(1)</script><img src=x onerror=alert(1)> \u{202e}gpj.exe \u{1b}[2J [click](javascript:alert(1)) \
                      ![p](https://evil.example/p.png) <https://evil.example>";

#[e2e::scenario]
async fn nothing_that_an_agent_wrote_acts_on_a_page() {
    let bed = quiet_bed().await;
    let key = format!("sk-ant-{}", "a".repeat(40));
    let title = "<script>alert(1)</script> \u{202e}x";
    let made = json!({"project": "shop", "title": title, "execution_plan": ["build"], "description": format!("{ATTACK} {key}")});
    let ticket = text(&bed.client.ok("create_ticket", made).await, "ticket_id");
    let ends = json!({"ticket_id": ticket, "stage": "build", "outcome": "blocked", "report": format!("{ATTACK} {key}\n{}", "x".repeat(1_000_000)), "question": ATTACK});
    bed.client.ok("complete_ticket_stage", ends).await;
    let browser = Browser::with_link(&bed, &[]).await;
    let pages = [
        "/",
        "/board",
        "/tickets",
        &format!("/tickets/{ticket}"),
        "/events",
        "/search?q=script",
        "/projects/shop",
    ];
    for path in pages {
        let page = browser.page(path).await;
        for bad in [
            "<script>alert",
            "<img",
            "onerror=alert(1)>",
            "href=\"javascript:",
            "href=\"https://evil",
            "\u{202e}",
            "\u{1b}",
            &key,
        ] {
            assert!(!page.contains(bad), "{path}: {bad:?}");
        }
    }
    // Data for a script, which shows strings as they are: tags in it are letters.
    let found = browser.get("/api/find?q=script").await;
    assert_eq!(found.headers()["content-type"], "application/json");
    let found = found.text().await.expect("JSON");
    assert!(found.contains("⟨U+202E⟩x") && !found.contains(['\u{202e}', '\u{1b}']), "{found}");
    let page = browser.page(&format!("/tickets/{ticket}")).await;
    for good in [
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "⟨U+202E⟩",
        "␛[2J",
        "javascript:alert(1)",
        "sk-ant-…[masked]",
    ] {
        assert!(page.contains(good), "{good}");
    }
}

#[e2e::scenario]
async fn what_happens_is_told_as_it_happens_and_a_gap_is_declared() {
    let bed = quiet_bed().await;
    let browser = Browser::with_link(&bed, &[]).await;
    assert_eq!(Browser::stranger(&bed).get("/api/events").await.status(), StatusCode::UNAUTHORIZED);
    let seq = browser.json("/api/now").await["seq"].as_i64().expect("a number");
    let mut stream = browser.get(&format!("/api/events?after={seq}")).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let ticket = bed.ticket("shop", &["build"], "").await;
    let told = until(&mut stream, "ticket_created").await;
    assert!(told.contains("event: change") && told.contains(&format!("ticket:{ticket}")), "{told}");
    let id = told.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();
    bed.client.ok("update_ticket", json!({"ticket_id": ticket, "priority": "high"})).await;
    let again = browser.request(reqwest::Method::GET, "/api/events").header("last-event-id", &id);
    let mut again = again.send().await.expect("up");
    let told = until(&mut again, "ticket_updated").await;
    assert!(!told.contains("ticket_created") && !told.contains("event: gap"), "{told}");
    for beyond in ["999999999", "0"] {
        let mut gap = browser
            .request(reqwest::Method::GET, "/api/events")
            .header("last-event-id", beyond)
            .send()
            .await
            .expect("up");
        let told = until(&mut gap, "\n\n").await;
        if beyond != "0" {
            assert!(told.contains("retry: 1000"), "{told}");
            assert!(
                until(&mut gap, "event: gap").await.contains("\"seq\""),
                "it is of another log"
            );
        }
    }
}

/// Reads a stream until it has said something.
async fn until(stream: &mut Response, wanted: &str) -> String {
    let mut told = String::new();
    let reading = async {
        while let Some(bytes) = stream.chunk().await.expect("the stream continues") {
            told.push_str(&String::from_utf8_lossy(&bytes));
            if told.contains(wanted) && told.ends_with("\n\n") {
                return;
            }
        }
        panic!("it ended without {wanted}: {told}");
    };
    let read = tokio::time::timeout(e2e::eventually::DEADLINE, reading).await;
    assert!(read.is_ok(), "it never said {wanted}: {told}");
    told
}

#[e2e::scenario]
async fn one_action_for_all_that_match_is_tried_first_and_carried_out_then() {
    let bed = quiet_bed().await;
    for _ in 0..3 {
        bed.ticket("shop", &["build"], "").await;
    }
    let closed = bed.ticket("shop", &["build"], "").await;
    bed.client.ok("close_ticket", json!({"ticket_id": closed})).await;
    let browser = Browser::with_link(&bed, &[]).await;
    let fields = [
        ("act", "priority"),
        ("priority", "high"),
        ("all", "1"),
        ("f.project", "shop"),
        ("f.state", "queued"),
    ];
    let (status, dry) = browser.send("/do/bulk", &[&fields[..], &[("dry", "1")]].concat()).await;
    assert_eq!(
        (status, &dry["count"], &dry["dry"]),
        (StatusCode::OK, &json!(3), &json!(true)),
        "{dry}"
    );
    assert_eq!(bed.get("T-1").await["priority"], "normal", "a dry run changes nothing");
    let (_, begun) = browser.send("/do/bulk", &fields).await;
    let job = text(&begun, "job");
    eventually("the job is done", || async {
        let progress = browser.json(&format!("/api/bulk/{job}")).await;
        if progress["finished"] == true { Ok(()) } else { Err(progress.to_string()) }
    })
    .await;
    assert_eq!(bed.get("T-3").await["priority"], "high");
    let chosen = [("act", "close"), ("ticket", "T-1"), ("ticket", closed.as_str())];
    let (_, begun) = browser.send("/do/bulk", &chosen).await;
    let job = text(&begun, "job");
    eventually("the second job is done", || async {
        let progress = browser.json(&format!("/api/bulk/{job}")).await;
        if progress["finished"] == true { Ok(()) } else { Err(progress.to_string()) }
    })
    .await;
    let progress = browser.json(&format!("/api/bulk/{job}")).await;
    assert_eq!((&progress["done"], &progress["of"]), (&json!(2), &json!(2)));
    assert_eq!(
        (&bed.get("T-1").await["state"], &bed.get("T-2").await["state"]),
        (&json!("closed"), &json!("queued"))
    );
}

#[e2e::scenario]
async fn words_are_found_in_tickets_and_in_reports_as_they_are_now() {
    let bed = quiet_bed().await;
    let made =
        json!({"project": "shop", "title": "Refuse expired coupons", "execution_plan": ["build"]});
    let ticket = text(&bed.client.ok("create_ticket", made).await, "ticket_id");
    bed.client
        .ok(
            "add_ticket_comment",
            json!({"ticket_id": ticket, "content": "The Größe of vouchers is 価格."}),
        )
        .await;
    let browser = Browser::with_link(&bed, &[]).await;
    let finds = async |words: &str| {
        let page = browser.page(&format!("/search?{}", form(&[("q", words)]))).await;
        page.contains(&format!("/tickets/{ticket}"))
    };
    for words in ["coupon", "expired refuse", "grosse", "vouch", "価格", "\"coup"] {
        assert_eq!(finds(words).await, words != "grosse", "{words}");
    }
    for words in ["coupon vouchers", "NEAR(", "zebra", "coupon NOT expired"] {
        assert!(!finds(words).await, "{words}");
    }
    bed.client.ok("update_ticket", json!({"ticket_id": ticket, "title": "Accept zebras"})).await;
    assert!(finds("zebra").await && !finds("coupon").await);
}

#[e2e::scenario]
async fn a_transcript_of_a_hundred_megabytes_is_read_in_parts() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    let attempt = text(&bed.get(&ticket).await["attempts"][0], "attempt_id");
    let file = bed.server.state_dir().join("attempts").join(&attempt).join("stdout.000001.jsonl");
    let own = std::fs::metadata(&file).expect("it wrote something").len();
    let filler = json!({"type": "assistant", "message": {"content": [{"type": "text", "text": "x".repeat(100_000)}]}});
    let filler = format!("{filler}\n").repeat(10);
    let mut out = std::fs::OpenOptions::new().append(true).open(&file).expect("opens");
    for _ in 0..105 {
        out.write_all(filler.as_bytes()).expect("writes");
    }
    let call = json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}]}});
    let result = json!({"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": "no"}]}});
    writeln!(out, "{call}\n{result}").expect("writes");
    drop(out);
    let browser = Browser::with_link(&bed, &[]).await;
    let at = format!("/api/attempts/{attempt}");
    let tail = browser.json(&format!("{at}/transcript?tail=3")).await;
    let bytes = tail["bytes"].as_u64().expect("a number");
    assert!(bytes > own + 100_000_000, "{bytes}");
    let rows = tail["rows"].as_array().expect("rows");
    assert_eq!(
        (rows.len(), &rows[1]["type"], &rows[1]["result"]["text"]),
        (2, &json!("call"), &json!("no"))
    );
    assert_eq!((&rows[0]["cut"], &rows[0]["size"]), (&json!(true), &json!(100_000)));
    assert_eq!(tail["end"], tail["bytes"]);
    let start = tail["start"].as_u64().expect("a number");
    let before = browser.json(&format!("{at}/transcript?before={start}&limit=500")).await;
    let shown = before["rows"].as_array().expect("rows").len();
    assert!((2..=20).contains(&shown), "an answer has about a megabyte, not {shown} rows");
    let middle = browser.json(&format!("{at}/transcript?from=50000000&limit=2")).await;
    assert_eq!(middle["rows"].as_array().expect("rows").len(), 2);
    let first = browser.json(&format!("{at}/transcript?from=0&limit=5")).await;
    assert_eq!(first["start"], 0);
    let mut from = 0;
    let found = loop {
        let next = browser.json(&format!("{at}/next?after={from}&kind=error")).await;
        if let Some(found) = next["at"].as_u64() {
            break found;
        }
        let reached = next["reached"].as_u64().expect("a number");
        assert!(reached > from && reached < bytes, "{next}");
        from = reached;
    };
    assert!(found > 100_000_000);
    let row = &rows[0];
    let whole = browser.page(&format!("{at}/row?at={}&n={}&part=text", row["at"], row["n"])).await;
    assert_eq!(whole.len(), 100_000);
    let page = browser.page(&format!("/attempts/{attempt}")).await;
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
}

#[e2e::scenario]
async fn a_flood_without_a_session_keeps_nobody_else_waiting() {
    let bed = quiet_bed().await;
    let browser = Browser::with_link(&bed, &[]).await;
    let stranger = Browser::stranger(&bed);
    let mut refused = 0;
    for _ in 0..600 {
        if stranger.get("/").await.status() == StatusCode::TOO_MANY_REQUESTS {
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
    assert_eq!(browser.get("/").await.status(), StatusCode::OK);
    assert!(bed.reachable().await);
}

#[e2e::scenario]
async fn what_a_ticket_changed_is_shown_by_file() {
    let bed = Bed::start().await;
    bed.repository("shop", &["build"], json!({})).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: write <b>.txt <i>hello</i>").await;
    bed.completed(&ticket).await;
    let browser = Browser::with_link(&bed, &[]).await;
    let page = browser.page(&format!("/tickets/{ticket}")).await;
    assert!(page.contains("&lt;b&gt;.txt") && page.contains("class=\"add\">+1"), "{page}");
    let opened = browser.page(&format!("/tickets/{ticket}?diff=%3Cb%3E.txt")).await;
    let lines = browser.page(&format!("/api/tickets/{ticket}/diff?path=%3Cb%3E.txt")).await;
    for page in [&opened, &lines] {
        assert!(page.contains("&lt;i&gt;hello&lt;/i&gt;") && !page.contains("<i>hello"), "{page}");
    }
    assert!(!page.contains("<b>.txt"), "a file's name is no markup");
}
