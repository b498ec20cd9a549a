//! Manifests that are right, and the words that wrong ones are answered with.

use hyper::header::HeaderName;
use luge_shards::{PolicyKind, Steering};

use super::*;
use crate::config::{Affinity, NetworkChoice, SchedulingConfig, Tenant};

/// A folder with a module and a subfolder, for paths to point at.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("luge-manifest-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("data")).unwrap();
    std::fs::write(folder.join("a.wasm"), b"\0asm\x01\0\0\0").unwrap();
    folder
}

fn check(text: &str) -> Result<Config, String> {
    parse(text, "luge.toml", &folder()).map_err(|errors| errors.to_string())
}

fn function(fields: &str) -> String {
    format!("[[function]]\nname = \"a\"\nroute = \"/a\"\nmodule = \"a.wasm\"\n{fields}")
}

fn errors(text: &str) -> String {
    check(text).expect_err("the manifest is wrong")
}

#[test]
fn everything_can_be_set() {
    let config = check(
        r#"
        listen = "[::1]:80"
        admin = "127.0.0.1:0"
        cores = 2
        [limits]
        connections = 10
        queue = 11
        bodies = "1MiB"
        head = "32KiB"
        header_count = 12
        target = "4KiB"
        head_timeout = "1s"
        body_timeout = "2s"
        idle_timeout = "3s"
        write_timeout = "4s"
        drain = "5s"
        [[function]]
        name = "a"
        route = "/a/{*rest}"
        module = "a.wasm"
        methods = ["GET", "POST"]
        deadline = "100ms"
        cpu = "50ms"
        memory = "32MiB"
        body = "2MiB"
        response = "3MiB"
        env = { KEY = "value" }
        args = ["-x", ""]
        dirs = { data = "/data" }
        mode = "cgi"
        content_type = "text/html; charset=utf-8"
        pass_authorization = true
        "#,
    )
    .unwrap();
    assert_eq!(config.listen, "[::1]:80".parse().unwrap());
    assert_eq!(config.cores, NonZeroUsize::new(2));
    assert_eq!((config.limits.connections, config.limits.queue), (10, 11));
    assert_eq!(config.limits.bodies, 1 << 20);
    assert_eq!(
        (config.limits.head_bytes, config.limits.drain),
        (32 << 10, Duration::from_secs(5))
    );
    let function = &config.functions[0];
    assert_eq!(function.methods, Some(vec![Method::GET, Method::POST]));
    assert_eq!(
        (function.deadline, function.cpu),
        (Duration::from_millis(100), Duration::from_millis(50))
    );
    assert_eq!(
        (
            function.memory_pages,
            function.body_bytes,
            function.response_bytes
        ),
        (512, 2 << 20, 3 << 20)
    );
    assert_eq!(function.env, [("KEY".to_owned(), "value".to_owned())]);
    assert_eq!(function.args, ["-x", ""]);
    assert_eq!(
        function.dirs,
        [Preopen {
            host: folder().join("data"),
            guest: "/data".to_owned()
        }]
    );
    assert_eq!(function.mode, Mode::Cgi);
    assert!(function.pass_authorization);
}

#[test]
fn runs_are_bounded_and_preempted_as_it_says() {
    let tables = "[engine]\npreemption = \"polls\"\n[limits]\nstarted = 14\nidle_memory = \"6MiB\"\n";
    let config = check(&(String::from(tables) + &function(""))).unwrap();
    assert_eq!((config.limits.started, config.limits.idle_memory), (14, 6 << 20));
    assert_eq!(config.preemption, PreemptionMode::Polls);
    let config = check(&function("")).unwrap();
    assert_eq!(
        (config.limits.started, config.limits.idle_memory),
        (256, 64 << 20)
    );
    assert_eq!(config.preemption, PreemptionMode::Signals);
    let told = errors(&(String::from("[engine]\npreemption = \"hope\"\n") + &function("")));
    assert!(told.contains("`signals`") && told.contains("`polls`"), "{told}");
}

#[test]
fn engines_can_be_chosen() {
    let table = "[engine]\ntier = \"interp\"\nbounds = \"software\"\n";
    let config = check(&(String::from(table) + &function("tier = \"baseline\""))).unwrap();
    let chosen = EngineChoice {
        tier: Some(Tier::Interp),
        bounds: Bounds::Software,
    };
    assert_eq!(config.engine, chosen);
    assert_eq!(config.functions[0].tier, Some(Tier::Baseline));
    let unbounded = errors(&(String::from("[engine]\nbounds = \"none\"\n") + &function("")));
    assert!(
        unbounded
            .starts_with("luge.toml:2: `engine.bounds`: bounds \"none\" would let guests leave their memory"),
        "{unbounded}"
    );
    for unknown in ["[engine]\ntier = \"jit\"", "\n[engine.jit]"] {
        let found = errors(unknown);
        assert!(found.starts_with("luge.toml:2: unknown "), "{found}");
    }
}

#[test]
fn a_short_manifest_gets_the_defaults() {
    let config = check(&function("deadline = \"100ms\"")).unwrap();
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.engine, EngineChoice::default());
    let function = &config.functions[0];
    assert_eq!(function.tier, None, "the server's");
    assert_eq!(
        function.cpu,
        Duration::from_millis(100),
        "the deadline bounds the CPU time too"
    );
    assert_eq!((function.memory_pages, function.mode), (1024, Mode::Raw));
}

#[test]
fn syntax_errors_have_a_line() {
    assert!(errors("listen = ").starts_with("luge.toml:1: "));
    let unknown = errors(&function("dedline = \"1s\""));
    assert!(
        unknown.starts_with("luge.toml:5: unknown field `dedline`"),
        "{unknown}"
    );
    let missing = errors("\n[[function]]\nname = \"a\"\n");
    assert!(
        missing.starts_with("luge.toml:2: missing field `route`"),
        "{missing}"
    );
    assert!(errors(&function("mode = \"fast\"")).contains("unknown variant `fast`"));
}

#[test]
fn wrong_values_are_told_with_place_and_cure() {
    for (field, expected) in [
        (
            "deadline = \"100\"",
            "luge.toml:5: `function.a.deadline`: \"100\" is no duration",
        ),
        (
            "memory = \"64\"",
            "luge.toml:5: `function.a.memory`: \"64\" is no size",
        ),
        ("memory = \"1KiB\"", "must lie between 65536B and 4294967296B"),
        (
            "methods = [\"get\"]",
            "`function.a.methods`: \"get\" is no HTTP method",
        ),
        ("env = { \"A=B\" = \"c\" }", "cannot be an environment variable"),
        ("env = { QUERY_STRING = \"c\" }", "is set by the server"),
        ("args = [\"a\\u0000\"]", "cannot be an argument"),
        ("dirs = { nowhere = \"/data\" }", "cannot grant the folder"),
        (
            "dirs = { data = \"data\" }",
            "is no place for a folder in the guest",
        ),
        (
            "dirs = { data = \"/a/../b\" }",
            "is no place for a folder in the guest",
        ),
        ("content_type = \"png\"", "\"png\" is no media type"),
    ] {
        let found = errors(&function(field));
        assert!(found.contains(expected), "{field}: {found}");
    }
    assert!(errors(&(String::from("listen = \"8080\"\n") + &function(""))).contains("write ADDRESS:PORT"));
    assert!(errors("listen = \"127.0.0.1:1\"").contains("deploys no function"));
}

#[test]
fn duplicates_and_missing_files_are_found_together() {
    let text = function("") + &function("") + "[[function]]\nname=\"b\"\nroute=\"/b\"\nmodule=\"none.wasm\"";
    let found = errors(&text);
    assert!(
        found.contains("luge.toml:6: `function.name`: the name \"a\" is taken by the function of line 2")
    );
    assert!(
        found.contains("luge.toml:7: `function.a.route`: the route \"/a\" matches the same paths"),
        "{found}"
    );
    assert!(
        found.contains("luge.toml:12: `function.b.module`: cannot read the module"),
        "{found}"
    );
    assert_eq!(found.lines().count(), 3, "{found}");
}

#[test]
fn a_missing_manifest_is_told() {
    let error = load(Path::new("/nowhere/luge.toml")).unwrap_err().to_string();
    assert!(
        error.starts_with("/nowhere/luge.toml: cannot read the manifest: "),
        "{error}"
    );
}

#[test]
fn scheduling_can_be_chosen() {
    let table = r#"
        [engine]
        preemption = "off"
        [scheduling]
        policy = "least-slack"
        admission = false
        fair_admission = false
        spill = false
        steal = false
        steering = "home"
        network = "executor"
        receive_buffers = 64
    "#;
    let config = check(&(String::from(table) + &function("deadline = \"1s\""))).unwrap();
    let expected = SchedulingConfig {
        policy: PolicyKind::LeastSlack,
        fair_admission: false,
        steering: Steering::Home,
        spill: false,
        steal: false,
        network: NetworkChoice::Executor,
        receive_buffers: 64,
        sqpoll: None,
        sqpoll_cpu: None,
        zero_copy: None,
        busy_poll: Duration::ZERO,
    };
    assert_eq!(config.scheduling, expected);
    assert_eq!(config.preemption, PreemptionMode::Off);
    assert!(!config.functions[0].firm);
    for policy in PolicyKind::ALL {
        let table = format!("[scheduling]\npolicy = \"{policy}\"\n");
        assert_eq!(check(&(table + &function(""))).unwrap().scheduling.policy, policy);
    }
}

#[test]
fn scheduling_has_defaults() {
    let config = check(&function("")).unwrap();
    let expected = SchedulingConfig {
        policy: PolicyKind::Edf,
        fair_admission: true,
        steering: Steering::Local,
        spill: true,
        steal: true,
        network: NetworkChoice::Auto,
        receive_buffers: 256,
        sqpoll: None,
        sqpoll_cpu: None,
        zero_copy: None,
        busy_poll: Duration::ZERO,
    };
    assert_eq!(config.scheduling, expected);
    assert_eq!(config.tenants, [Tenant::default()]);
    let function = &config.functions[0];
    assert_eq!((function.estimate, function.cpu_share), (None, None));
    assert_eq!((function.tenant, &function.affinity), (0, &None));
}

#[test]
fn the_ring_can_be_set() {
    let table = r#"
        [scheduling]
        sqpoll = "20ms"
        sqpoll_cpu = 1
        zero_copy = "16KiB"
        busy_poll = "200us"
    "#;
    let config = check(&(String::from(table) + &function(""))).unwrap();
    let expected = SchedulingConfig {
        sqpoll: Some(Duration::from_millis(20)),
        sqpoll_cpu: Some(1),
        zero_copy: Some(16 << 10),
        busy_poll: Duration::from_micros(200),
        ..SchedulingConfig::default()
    };
    assert_eq!(config.scheduling, expected);
}

#[test]
fn functions_that_state_a_deadline_are_admitted_by_it() {
    for (table, fields, firm) in [
        ("", "", false),
        ("", "deadline = \"1s\"", true),
        ("", "deadline = \"1s\"\nadmission = false", false),
        ("", "admission = true", true),
        ("[scheduling]\nadmission = true\n", "", false),
        ("[scheduling]\nadmission = false\n", "deadline = \"1s\"", false),
        (
            "[scheduling]\nadmission = false\n",
            "deadline = \"1s\"\nadmission = true",
            true,
        ),
    ] {
        let config = check(&(String::from(table) + &function(fields))).unwrap();
        assert_eq!(config.functions[0].firm, firm, "{table}{fields}");
    }
}

#[test]
fn functions_say_what_they_take_and_whose_they_are() {
    let text = r#"
        [tenant.b]
        [tenant.default]
        cpu_share = 0.25
        [tenant.acme]
        cpu_share = 1
        [[function]]
        name = "a"
        route = "/users/{id}/{*rest}"
        module = "a.wasm"
        deadline = "5ms"
        estimate = "5ms"
        tenant = "b"
        cpu_share = 0.5
        affinity = "param:id"
        [[function]]
        name = "b"
        route = "/b"
        module = "a.wasm"
        tenant = "default"
        affinity = "header:X-Session"
    "#;
    let config = check(text).unwrap();
    let tenants: Vec<_> = config
        .tenants
        .iter()
        .map(|tenant| (tenant.name.as_str(), tenant.cpu_share))
        .collect();
    assert_eq!(
        tenants,
        [("default", Some(0.25)), ("acme", Some(1.0)), ("b", None)]
    );
    let [a, b] = &config.functions[..] else {
        panic!("{:?}", config.functions)
    };
    assert_eq!(
        (a.estimate, a.tenant, a.cpu_share),
        (Some(Duration::from_millis(5)), 2, Some(0.5))
    );
    assert_eq!(a.affinity, Some(Affinity::Parameter("id".to_owned())));
    assert_eq!((b.tenant, b.firm), (0, false));
    let session = Affinity::Header(HeaderName::from_static("x-session"));
    assert_eq!(b.affinity, Some(session), "field names have no case");
}

#[test]
fn wrong_words_about_scheduling_are_told_with_place_and_cure() {
    for (line, expected) in [
        (
            "policy = \"lifo\"",
            "luge.toml:2: `scheduling.policy`: unknown policy `lifo`: use edf, ",
        ),
        (
            "steering = \"far\"",
            "luge.toml:2: `scheduling.steering`: \"far\" is unknown: use `local` or `home`",
        ),
        (
            "network = \"tap\"",
            "`scheduling.network`: \"tap\" is unknown: use `ring`, `executor` or `auto`",
        ),
        (
            "receive_buffers = 0",
            "`scheduling.receive_buffers`: 0 is out of range: it must lie between 1 and 32768",
        ),
        ("receive_buffers = 40000", "40000 is out of range"),
        (
            "busy_poll = \"2s\"",
            "`scheduling.busy_poll`: 2s is out of range: it must lie between 1us and 1s",
        ),
        (
            "sqpoll = \"900us\"",
            "`scheduling.sqpoll`: 900us is out of range: it must lie between 1ms and 60s",
        ),
        (
            "network = \"executor\"\nsqpoll = \"5ms\"",
            "luge.toml:3: `scheduling.sqpoll`: it bears on the cores' own rings",
        ),
        (
            "sqpoll_cpu = 1",
            "luge.toml:2: `scheduling.sqpoll_cpu`: it means nothing without `scheduling.sqpoll`",
        ),
        (
            "zero_copy = \"1MiB\"",
            "`scheduling.zero_copy`: 1MiB is out of range: it must lie between 4096B and 65536B",
        ),
        (
            "network = \"executor\"\nzero_copy = \"8KiB\"",
            "luge.toml:3: `scheduling.zero_copy`: it bears on the cores' own rings",
        ),
        ("busy_poll = \"0us\"", "\"0us\" is no duration"),
        (
            "network = \"executor\"\nbusy_poll = \"50us\"",
            "luge.toml:3: `scheduling.busy_poll`: it bears on the cores' own rings",
        ),
        ("politics = 1", "luge.toml:2: unknown field `politics`"),
    ] {
        let found = errors(&(format!("[scheduling]\n{line}\n") + &function("")));
        assert!(found.contains(expected), "{line}: {found}");
    }
}

#[test]
fn wrong_estimates_shares_tenants_and_affinities_are_told_with_place_and_cure() {
    for (field, expected) in [
        (
            "estimate = \"0ms\"",
            "luge.toml:5: `function.a.estimate`: \"0ms\" is no duration",
        ),
        (
            "deadline = \"5ms\"\nestimate = \"6ms\"",
            "luge.toml:6: `function.a.estimate`: 6ms is longer than any run can take: the function's `deadline` ends \
             runs after 5ms",
        ),
        ("cpu = \"5ms\"\nestimate = \"6ms\"", "the function's `cpu` ends"),
        (
            "cpu_share = 0",
            "luge.toml:5: `function.a.cpu_share`: 0 is no share of a core",
        ),
        ("cpu_share = 1.5", "1.5 is no share of a core"),
        ("cpu_share = nan", "NaN is no share of a core"),
        (
            "affinity = \"x-user\"",
            "luge.toml:5: `function.a.affinity`: \"x-user\" is no affinity: write \"header:NAME\" or \"param:NAME\"",
        ),
        ("affinity = \"cookie:id\"", "\"cookie:id\" is no affinity"),
        ("affinity = \"header:a b\"", "\"header:a b\" is no affinity"),
        (
            "affinity = \"param:id\"",
            "the route \"/a\" has no parameter \"id\": use one that stands in it, like `id` in \"/users/{id}\"",
        ),
        (
            "tenant = \"x\"",
            "luge.toml:5: `function.a.tenant`: there is no tenant \"x\": add a table [tenant.NAME] for it, or use \
             `default`",
        ),
        (
            "tenant = \"x\"\n[tenant.acme]\n[tenant.beta]",
            "or use `default`, `acme` or `beta`",
        ),
        (
            "[tenant.\"\"]\n[tenant.acme]\ncpu_share = -1.0",
            "luge.toml:5: `tenant`: \"\" is no name",
        ),
        (
            "[tenant.acme]\ncpu_share = -1.0",
            "luge.toml:6: `tenant.acme.cpu_share`: -1 is no share of a core",
        ),
    ] {
        let found = errors(&function(field));
        assert!(found.contains(expected), "{field}: {found}");
    }
}

#[test]
fn all_that_is_wrong_with_scheduling_is_found_together() {
    let tables =
        "[scheduling]\npolicy = \"lifo\"\nsteering = \"far\"\nnetwork = \"tap\"\n[tenant.t]\ncpu_share = 7\n";
    let fields = "estimate = \"1\"\ntenant = \"x\"\ncpu_share = 0\naffinity = \"param:id\"";
    let found = errors(&(String::from(tables) + &function(fields)));
    assert_eq!(found.lines().count(), 8, "{found}");
}

#[test]
fn the_example_of_the_reference_is_right() {
    let reference = include_str!("../../../../docs/manifest.md");
    let (_, after) = reference.split_once("```toml\n").expect("an example");
    let (example, _) = after.split_once("```").expect("its end");
    let example = example
        .replace("price.wasm", "a.wasm")
        .replace("report.wasm", "a.wasm");
    let config = check(&example).unwrap();
    assert_eq!((config.tenants.len(), config.functions.len()), (3, 2));
}
