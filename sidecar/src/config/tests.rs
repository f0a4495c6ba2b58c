use super::*;

fn written(args: &[&str]) -> Written {
    Written::try_parse_from([&["viewcache-sidecar"], args].concat()).unwrap()
}

#[test]
fn flags_win_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("viewcache.toml");
    std::fs::write(&path, "max_bytes = \"1GiB\"\nlog = \"debug\"\n").unwrap();
    let path = path.to_str().unwrap();
    let config = Config::new(written(&["--config", path, "--max-bytes", "2GiB"])).unwrap();
    assert_eq!(config.max_bytes.bytes(), 2 << 30);
    assert_eq!(config.log, "debug");
}

#[test]
fn to_serve_is_what_it_does_without_a_command() {
    let parsed = |words: &[&str]| Cli::try_parse_from([&["x"], words].concat());
    let flags = ["--data-dir", "d", "--max-bytes", "2GiB"];
    let without = parsed(&flags).unwrap();
    assert!(without.command.is_none());
    let with = parsed(&[&["serve"], &flags[..]].concat()).unwrap();
    let Some(Command::Serve(with)) = with.command else {
        panic!("not to serve: {with:?}");
    };
    assert_eq!(format!("{with:?}"), format!("{:?}", without.written));
    assert!(parsed(&[&flags[..], &["serve"]].concat()).is_err());
}

#[test]
fn a_wrong_value_is_named() {
    let check = |args: &[&str], expect: &str| {
        assert_eq!(Config::new(written(args)).unwrap_err().to_string(), expect);
    };
    check(&["--max-bytes", "5"], "max_bytes: \"5\" is less than 1MiB");
    check(
        &["--egress", "https://x"],
        "egress: \"https://x\" is not http://host:port",
    );
    check(
        &["--import-roots", "/videos:films"],
        "import_roots: \"films\" is not an absolute path",
    );
    check(
        &["--data-dir", "/d", "--import-roots", "/d/videos"],
        "import_roots: \"/d/videos\" is in the data folder",
    );
    let error = Written::try_parse_from(["x", "--max-bytes", "lots"]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("\"lots\" is not a size such as \"64MiB\"")
    );
}

#[test]
fn every_setting_is_in_the_readme() {
    use clap::CommandFactory;
    let readme = include_str!("../../../README.md");
    for argument in Written::command().get_arguments() {
        let Some(flag) = argument.get_long().filter(|&long| long != "check-config") else {
            continue;
        };
        assert!(readme.contains(&format!("| `--{flag} ")), "--{flag}");
        let variable = format!("`VIEWCACHE_{}`", flag.replace('-', "_").to_uppercase());
        assert!(readme.contains(&variable), "{variable}");
    }
}

#[test]
fn an_unknown_key_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("viewcache.toml");
    std::fs::write(&path, "max_byte = \"1GiB\"\n").unwrap();
    let error = Config::new(written(&["--config", path.to_str().unwrap()])).unwrap_err();
    assert!(error.to_string().contains("max_byte"), "{error}");
}

#[test]
fn a_secret_at_the_wrong_place_is_not_told() {
    for text in [
        "tokens = 'not-to-be-told'",
        "peers = 'not-to-be-told, expected x'",
        "log = 'info'\n[tokens]\nread = [['not-to-be-told']]",
        "[secret]\nsecret = 'not-to-be-told'",
        "max_bytes = ['not-to-be-told']",
        "import_roots = 'not-to-be-told'",
    ] {
        let error = Written::parse(Path::new("c"), text)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("config: c: line "), "{error}");
        assert!(!error.contains("not-to-be-told"), "{error}");
    }
}
