//! Command lines that are taken, and those that are not.

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definition_holds_together() {
    Arguments::command().debug_assert();
}

#[test]
fn lines_that_make_sense_are_taken() {
    for line in [
        "ferryctl status",
        "ferryctl --session status --json",
        "ferryctl list --state failed --state pending --tag a --owner root --limit 0",
        "ferryctl explain ID --history --assume connected=true --assume type=wifi --assume battery_percent=12.5 --assume time=2h",
        "ferryctl enqueue metadata {} --key k --on-existing keep --expires 2h --charging --min-battery 30",
        "ferryctl enqueue metadata --charging=false -",
        "ferryctl enqueue metadata --lines --request-id run --retry --wait",
        "ferryctl put a.jpg b --strategy photo --key k --charging --request-id r --wait",
        "ferryctl put a.jpg --name b.jpg --metadata {} --quality balanced --original later --max-edge 4000 --record notes/a/b/photo",
        "ferryctl retry --all",
        "ferryctl pause --strategy photo --until 2026-05-01T12:00:00Z",
        "ferryctl sync",
        "ferryctl sync photo --override metered --override budget --all",
        "ferryctl hold -- ls --json -l",
        "ferryctl hold --reason film -- record",
        "ferryctl doctor --config a.toml --state-dir b --json",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn lines_that_do_not_are_refused_as_usage() {
    for line in [
        "ferryctl",
        "ferryctl sync --override offline",
        "ferryctl sync metadata photo",
        "ferryctl hold",
        "ferryctl hold --",
        "ferryctl hold sleep 1",
        "ferryctl --system --session status",
        "ferryctl list --state lost",
        "ferryctl list --owner nobody-by-this-name",
        "ferryctl explain",
        "ferryctl explain ID --assume weather=fine",
        "ferryctl explain ID --assume time=later",
        "ferryctl explain ID --assume connected=maybe",
        "ferryctl enqueue metadata {} --lines",
        "ferryctl enqueue metadata {} --retry",
        "ferryctl enqueue metadata {} --expires tomorrow",
        "ferryctl enqueue metadata {} --min-battery 20",
        "ferryctl enqueue metadata {} --on-existing keep",
        "ferryctl put",
        "ferryctl put a.jpg --metadata []",
        "ferryctl put a.jpg --record notes/7",
        "ferryctl put a.jpg --quality best",
        "ferryctl put a.jpg --max-edge 0",
        "ferryctl put a.jpg --expires tomorrow",
        "ferryctl cancel",
        "ferryctl retry",
        "ferryctl retry ID --all",
        "ferryctl completions tcsh",
    ] {
        assert_eq!(parse(line).err().map(|error| error.exit_code()), Some(2), "{line}");
    }
}

#[test]
fn charging_is_true_alone_and_takes_no_word_behind_it() {
    let Ok(Arguments { command: Command::Enqueue(enqueue), .. }) = parse("ferryctl enqueue metadata --charging {}")
    else {
        panic!("refused");
    };
    assert_eq!((enqueue.common.charging, enqueue.payload.as_deref()), (Some(true), Some("{}")));
}

#[cfg(feature = "tools")]
#[test]
fn what_bends_a_network_is_taken_and_what_does_not_is_refused() {
    for line in [
        "ferryctl bend --scenario slow_3g --listen 127.0.0.1:0 --to localhost:8080",
        "ferryctl bend --scenario commute --listen [::1]:9 --to a.example:443 --seed 7 --skip 7h --speed 60 --when-down stall",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
    for line in [
        "ferryctl bend --listen 127.0.0.1:0 --to localhost:8080",
        "ferryctl bend --scenario rain --listen 127.0.0.1:0 --to localhost:8080",
        "ferryctl bend --scenario wifi --listen 8080 --to localhost:8080",
        "ferryctl bend --scenario wifi --listen :8080 --to localhost:8080",
        "ferryctl bend --scenario wifi --listen ::1:8080 --to localhost:8080",
        "ferryctl bend --scenario wifi --listen 127.0.0.1:0 --to localhost:http",
        "ferryctl bend --scenario wifi --listen 127.0.0.1:0 --to localhost:80 --speed 0",
        "ferryctl bend --scenario wifi --listen 127.0.0.1:0 --to localhost:80 --skip 366days",
        "ferryctl bend --scenario wifi --listen 127.0.0.1:0 --to localhost:80 --when-down drop",
    ] {
        assert_eq!(parse(line).err().map(|error| error.exit_code()), Some(2), "{line}");
    }
}
