use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use clap::Parser;

use super::*;
use crate::config::Config;

const SECRET: &str = "hush-hush-hush-hush";
const TOKEN: &str = "reader-reader-reader";

/// A folder with these files of mode 0600, and the configuration that flags which name them and
/// variables make. In flags and messages `DIR` is the folder.
fn check(
    files: &[(&str, &str)],
    flags: &[&str],
    variables: &[(&str, &str)],
    expect: Result<(), &str>,
) -> Option<AccessTerms> {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, text.replace("DIR", dir)).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    let flags = flags.iter().map(|flag| flag.replace("DIR", dir));
    let written = Written::try_parse_from(["x".to_owned()].into_iter().chain(flags)).unwrap();
    let written = written.with_variables(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, text)| (*text).to_owned())
    });
    let config = Config::new(written.clone());
    let said = format!("{written:?} {config:?}");
    assert!(!said.contains(SECRET) && !said.contains(TOKEN), "{said}");
    match (config, expect) {
        (Ok(config), Ok(())) => Some(config.access),
        (Err(error), Err(expect)) => {
            assert_eq!(error.to_string().replace(dir, "DIR"), expect);
            None
        }
        (config, _) => panic!("{written:?}: {config:?}"),
    }
}

#[test]
fn a_port_that_others_reach_knows_who_calls() {
    let no_tokens = "is not a loopback address, and there are no tokens to know people by";
    let no_secret = "is not a loopback address, and there is no secret to know Envoy by";
    for address in ["0.0.0.0:1", "192.0.2.7:1", "[::]:1", "[2001:db8::1]:1"] {
        let manage = ["--manage-listen", address];
        let refused = format!("manage_listen: {address:?} {no_tokens}");
        check(&[], &manage, &[], Err(&refused));
        check(
            &[],
            &manage,
            &[("VIEWCACHE_ADMIN_TOKEN", "")],
            Err(&refused),
        );
        check(&[], &manage, &[("VIEWCACHE_SECRET", SECRET)], Err(&refused));
        check(&[], &manage, &[("VIEWCACHE_READ_TOKEN", TOKEN)], Ok(()));
        let data = ["--data-listen", address];
        let refused = format!("data_listen: {address:?} {no_secret}");
        check(&[], &data, &[], Err(&refused));
        check(
            &[],
            &data,
            &[("VIEWCACHE_ADMIN_TOKEN", TOKEN)],
            Err(&refused),
        );
        check(&[], &data, &[("VIEWCACHE_SECRET", SECRET)], Ok(()));
    }
    for address in [
        "127.0.0.1:1",
        "127.9.9.9:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
    ] {
        let flags = ["--manage-listen", address, "--data-listen", address];
        check(&[], &flags, &[], Ok(()));
    }
    check(&[], &["--data-listen", "unix:/run/v.sock"], &[], Ok(()));
}

#[test]
fn tokens_of_all_sources_count_together() {
    let files = [
        ("tokens", "admin file-file-file-file\n"),
        (
            "v.toml",
            "[tokens]\nread = ['toml-toml-toml-toml']\nadmin = 'bare-bare-bare-bare'\n",
        ),
    ];
    let flags = ["--config", "DIR/v.toml", "--tokens-file", "DIR/tokens"];
    let variables = [("VIEWCACHE_READ_TOKEN", TOKEN)];
    let terms = check(&files, &flags, &variables, Ok(())).unwrap();
    let tokens = terms.all_tokens();
    for (token, role) in [
        ("file-file-file-file", Role::Admin),
        ("toml-toml-toml-toml", Role::Read),
        ("bare-bare-bare-bare", Role::Admin),
        (TOKEN, Role::Read),
    ] {
        assert_eq!(tokens.role(token.as_bytes()), Some(role), "{token}");
    }
    assert_eq!((tokens.len(), terms.warnings), (4, Vec::new()));
}

#[test]
fn the_secret_is_there_once() {
    let files = [
        ("secret", "hush-hush-hush-hush\n"),
        ("inline.toml", "secret = 'toml-toml-toml-toml'"),
        (
            "both.toml",
            "secret = 'toml-toml-toml-toml'\nsecret_file = 'DIR/secret'",
        ),
    ];
    let shown = |flags: &[&str], variables: &[(&str, &str)]| {
        let terms = check(&files, flags, variables, Ok(())).unwrap();
        terms.secret.unwrap().reveal().to_owned()
    };
    let file = ["--secret-file", "DIR/secret"];
    let inline = ["--config", "DIR/inline.toml"];
    let variable = [("VIEWCACHE_SECRET", "vars-vars-vars-vars")];
    assert_eq!(shown(&file, &[]), SECRET);
    assert_eq!(shown(&inline, &[]), "toml-toml-toml-toml");
    assert_eq!(shown(&inline, &variable), "vars-vars-vars-vars");
    assert_eq!(shown(&[file, inline].concat(), &[]), SECRET);
    let twice = "secret_file: \"DIR/secret\" stands beside the secret itself";
    check(&files, &file, &variable, Err(twice));
    check(&files, &["--config", "DIR/both.toml"], &[], Err(twice));
    check(&files, &[], &[], Ok(()));
}

#[test]
fn what_is_wrong_is_named_without_its_value() {
    let check = |text: &str, flag: &str, expect: &str| {
        check(&[("file", text)], &[flag, "DIR/file"], &[], Err(expect));
    };
    check(
        "hush",
        "--secret-file",
        "secret: has 4 characters, not 16 to 256",
    );
    check(
        "read hush",
        "--tokens-file",
        "tokens_file: DIR/file: line 1: the token has 4 characters, not 16 to 256",
    );
    check(
        TOKEN,
        "--tokens-file",
        "tokens_file: DIR/file: line 1 is not \"read TOKEN\" or \"admin TOKEN\"",
    );
    check("", "--tokens-file", "tokens_file: DIR/file: has no tokens");
    check(
        "[tokens]\nadmin = ['hush']",
        "--config",
        "tokens.admin: has 4 characters, not 16 to 256",
    );
    check(
        "secret = 'reader-reader-reader",
        "--config",
        "config: DIR/file: line 1: invalid literal string, expected `'`",
    );
    let none = "No such file or directory (os error 2)";
    for (flag, field) in [
        ("--secret-file", "secret_file"),
        ("--tokens-file", "tokens_file"),
    ] {
        let refused = format!("{field}: DIR/none: {none}");
        self::check(&[], &[flag, "DIR/none"], &[], Err(&refused));
    }
    self::check(
        &[],
        &["--allowed-hosts", "cache.example,cache:80"],
        &[],
        Err("allowed_hosts: \"cache:80\" is not the name of a host, without a port"),
    );
    self::check(
        &[("filter.json", r#"{"secret": "other-other-other"}"#)],
        &["--filter-config", "DIR/filter.json"],
        &[("VIEWCACHE_SECRET", SECRET)],
        Err("filter_config: its secret is another than the sidecar's"),
    );
}

#[test]
fn names_of_hosts_are_a_list() {
    let flags = ["--allowed-hosts", "Cache.Example,sidecar"];
    let terms = check(&[], &flags, &[], Ok(())).unwrap();
    assert_eq!(terms.allowed_hosts, ["cache.example", "sidecar"]);
    let terms = check(&[], &["--allowed-hosts", ""], &[], Ok(())).unwrap();
    assert_eq!(terms.allowed_hosts.len(), 0);
}

#[test]
fn a_file_that_others_can_read_is_warned_of_and_one_that_they_can_write_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (flag, text, field) in [
        ("--secret-file", SECRET, "secret_file"),
        ("--tokens-file", "read reader-reader-reader", "tokens_file"),
        ("--config", "secret = 'toml-toml-toml-toml'", "config"),
        (
            "--config",
            "[tokens]\nread = ['toml-toml-toml-toml']",
            "config",
        ),
    ] {
        let path = dir.path().join("file");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let flags = ["x", flag, path.to_str().unwrap()];
        let config = Config::new(Written::try_parse_from(flags).unwrap()).unwrap();
        let expect = format!("{field}: {}: others can read it", path.display());
        assert_eq!(config.access.warnings, [expect]);
        std::fs::set_permissions(&path, Permissions::from_mode(0o646)).unwrap();
        let error = Config::new(Written::try_parse_from(flags).unwrap()).unwrap_err();
        let expect = format!(
            "{field}: {}: mode 0646 lets others write it",
            path.display()
        );
        assert_eq!(error.to_string(), expect);
    }
}

#[test]
fn every_variable_is_in_the_readme() {
    let readme = include_str!("../../../../README.md");
    for variable in VARIABLES {
        assert!(readme.contains(&format!("| `{variable}` |")), "{variable}");
    }
}
