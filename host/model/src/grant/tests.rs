use super::*;

fn to(text: &str) -> HttpTarget {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn http(targets: &[&str]) -> Grants {
    targets.iter().map(|target| GrantItem::Http(HttpGrant::to(to(target)))).collect()
}

fn header(secret: &str) -> SecretHeader {
    SecretHeader { name: "authorization".into(), secret: secret.into(), value: "Bearer {}".into(), cleartext: false }
}

fn with_header(target: &str, secret: &str) -> GrantItem {
    GrantItem::Http(HttpGrant { to: to(target), header: Some(header(secret)) })
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn nothing_is_granted_by_default() {
    let none = Grants::default();
    assert_eq!(none.missing(&Grant::ALL), Grant::ALL);
    assert_eq!(none.http(&to("https://api.example.com")), None);
    assert!(none.items().is_empty());
}

#[test]
fn policies_allow_only_what_they_cover() {
    let policy = http(&["https://*.example.com", "http://127.0.0.1:8080"]);
    for allowed in ["https://a.example.com", "https://*.b.example.com", "http://127.0.0.1:8080"] {
        assert!(policy.allows(&http(&[allowed]).items()[0]), "{allowed}");
    }
    for refused in ["https://example.com", "http://a.example.com", "http://127.0.0.1:8081", "http://localhost:8080"] {
        assert!(!policy.allows(&http(&[refused]).items()[0]), "{refused}");
    }
    assert!(!policy.allows(&GrantItem::Session) && !policy.allows(&GrantItem::Env("HOME".into())));
}

#[test]
fn secrets_are_allowed_by_name() {
    let reachable = http(&["https://api.example.com"]);
    let asked = with_header("https://api.example.com", "API_KEY");
    assert!(!reachable.allows(&asked), "a host that may be reached may not be told every secret");
    let allowed: Grants = [with_header("https://api.example.com", "API_KEY")].into_iter().collect();
    assert!(allowed.allows(&asked));
    assert!(allowed.allows(&http(&["https://api.example.com"]).items()[0]), "nor must it be told");
    assert!(!allowed.allows(&with_header("https://api.example.com", "OTHER_KEY")));
    assert!(!allowed.allows(&with_header("https://other.example.com", "API_KEY")));
}

#[test]
fn secrets_need_one_host_and_encryption() {
    let problem = |target: &str, header: SecretHeader| HttpGrant { to: to(target), header: Some(header) }.problem();
    for fine in ["https://api.example.com", "http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"] {
        assert_eq!(problem(fine, header("K")), None, "{fine}");
    }
    assert!(problem("https://*.example.com", header("K")).unwrap().contains("name the host"));
    assert!(problem("http://api.example.com", header("K")).unwrap().contains("in the clear"));
    assert!(problem("http://10.0.0.1", header("K")).unwrap().contains("in the clear"));
    assert_eq!(problem("http://10.0.0.1", SecretHeader { cleartext: true, ..header("K") }), None);
}

#[test]
fn secrets_go_only_to_their_target() {
    let grants: Grants = [
        with_header("https://api.example.com", "API_KEY"),
        GrantItem::Http(HttpGrant::to(to("https://*.example.com"))),
        GrantItem::Http(HttpGrant::to(to("https://api.example.com:8443"))),
    ]
    .into_iter()
    .collect();
    assert_eq!(grants.http(&to("https://api.example.com")), Some(vec![&header("API_KEY")]));
    for other in ["https://other.example.com", "https://api.example.com:8443"] {
        assert_eq!(grants.http(&to(other)), Some(Vec::new()), "{other}");
    }
    assert_eq!(grants.http(&to("http://api.example.com")), None);
}

#[test]
fn names_do_not_resolve_to_special_addresses() {
    let asked = to("https://api.example.com");
    let grants = http(&["https://api.example.com"]);
    for refused in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::ffff:10.1.2.3"] {
        assert!(grants.http_address(&asked, address(refused)).is_err(), "{refused}");
    }
    assert_eq!(grants.http_address(&asked, address("93.184.215.14")), Ok(()));
    let named = http(&["https://api.example.com", "https://10.1.2.3"]);
    assert_eq!(named.http_address(&asked, address("10.1.2.3")), Ok(()));
    assert_eq!(named.http_address(&asked, address("::ffff:10.1.2.3")), Ok(()));
    assert!(named.http_address(&asked, address("10.1.2.4")).is_err());
    let elsewhere = http(&["https://api.example.com", "https://10.1.2.3:8443", "http://10.1.2.3"]);
    assert!(elsewhere.http_address(&asked, address("10.1.2.3")).is_err(), "another port or scheme names another thing");
}

#[test]
fn localhost_is_only_this_machine() {
    let grants = http(&["http://localhost:8080"]);
    let asked = to("http://localhost:8080");
    assert_eq!(grants.http_address(&asked, address("127.0.0.1")), Ok(()));
    assert_eq!(grants.http_address(&asked, address("::1")), Ok(()));
    assert!(grants.http_address(&asked, address("10.0.0.1")).is_err());
}

#[test]
fn sockets_are_granted_by_address_or_resolved_name() {
    let targets: Vec<SocketTarget> =
        ["127.0.0.1:5432", "db.example.com:5432"].iter().map(|text| text.parse().unwrap()).collect();
    let granted = SocketGrants(&targets);
    let name = HostPattern::Name("db.example.com".into());
    assert!(granted.address(address("127.0.0.1"), 5432) && !granted.address(address("127.0.0.1"), 5433));
    assert!(granted.name(&name) && !granted.name(&HostPattern::Name("example.com".into())));
    assert_eq!(granted.answer(&name, address("93.184.215.14")), Ok(()));
    assert!(granted.answer(&name, address("10.0.0.1")).is_err());
    assert!(granted.resolved(&name, address("93.184.215.14"), 5432));
    assert!(!granted.resolved(&name, address("93.184.215.14"), 22));
    assert!(granted.resolved(&name, address("127.0.0.1"), 5432), "it is named as well");
    assert!(!granted.resolved(&name, address("127.0.0.2"), 5432));
}

#[test]
fn items_read_as_toml() {
    let items = [
        (GrantItem::Session, "session = true"),
        (http(&["https://a.example"]).items()[0].clone(), "http = [\"https://a.example\"]"),
        (GrantItem::Env("CI".into()), "env = [\"CI\"]"),
        (GrantItem::Deterministic(0), "deterministic = true"),
        (GrantItem::Deterministic(7), "deterministic = 7"),
        (
            with_header("https://a.example", "KEY"),
            "http = [{ to = \"https://a.example\", header = { name = \"authorization\", secret = \"KEY\", value = \
             \"Bearer {}\" } }]",
        ),
    ];
    for (item, text) in items {
        assert_eq!(item.to_string(), text);
        let _: toml::Table = toml::from_str(text).unwrap();
    }
}
