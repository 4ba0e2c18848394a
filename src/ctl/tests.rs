//! What is shipped: help, completions, and the reference in `docs/ferryctl.md`.

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use super::*;

const REFERENCE: &str = include_str!("../../docs/ferryctl.md");

fn commands() -> Vec<Command> {
    Arguments::command().get_subcommands().cloned().collect()
}

#[test]
fn every_command_has_help_and_the_whole_lists_exit_codes() {
    let whole = Arguments::command().render_long_help().to_string();
    for exit in Exit::ALL {
        assert!(whole.contains(&format!("{}  {}", exit.code(), exit.meaning())), "{exit:?} is not in --help:\n{whole}");
    }
    for mut command in commands() {
        let name = command.get_name().to_owned();
        let help = command.render_long_help().to_string();
        assert!(whole.contains(&name) && help.contains("Usage:"), "{name}:\n{help}");
        let undocumented = command.get_arguments().find(|argument| argument.get_help().is_none());
        assert!(undocumented.is_none(), "{name}: {undocumented:?} has no help");
    }
}

#[test]
fn completions_come_out_and_know_every_command() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut printer = Printer::to(&mut out, &mut err, Form::Text, time::now);
        commands::completions(shell, &mut printer).unwrap();
        drop(printer);
        let script = String::from_utf8(out).unwrap();
        for command in commands() {
            assert!(script.contains(command.get_name()), "{shell} does not complete {}", command.get_name());
        }
    }
}

#[test]
fn the_reference_lists_every_command_option_and_exit_code() {
    for exit in Exit::ALL {
        let row = format!("| {} | {} |", exit.code(), exit.meaning());
        assert!(REFERENCE.contains(&row), "docs/ferryctl.md lacks {row}");
    }
    for command in commands() {
        let name = command.get_name();
        let heading = format!("\n### `ferryctl {name}");
        let start = REFERENCE.find(&heading).unwrap_or_else(|| panic!("docs/ferryctl.md lacks {heading}"));
        let section = REFERENCE[start + 1..].split("\n##").next().unwrap_or_default();
        for long in command.get_arguments().filter_map(|argument| argument.get_long()) {
            assert!(section.contains(&format!("--{long}")), "docs/ferryctl.md: {name} lacks --{long}");
        }
    }
}

fn assert_shown(samples: Vec<(&str, serde_json::Value)>) {
    let shapes: Vec<serde_json::Value> = REFERENCE
        .split("```json\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap_or_default())
        .flat_map(|block| serde_json::Deserializer::from_str(block).into_iter::<serde_json::Value>())
        .map(|shape| shape.unwrap_or_else(|error| panic!("docs/ferryctl.md: {error}")))
        .collect();
    for (name, shape) in samples {
        assert!(shapes.contains(&shape), "docs/ferryctl.md lacks the shape of {name}: {shape}");
    }
}

#[test]
fn the_reference_shows_the_json_shapes_as_they_are() {
    assert_shown(render::samples());
}

#[cfg(feature = "tools")]
#[test]
fn the_reference_shows_what_bend_writes() {
    assert_shown(render::bend_samples());
}

#[cfg(feature = "tools")]
#[test]
fn the_reference_shows_what_simulate_writes() {
    assert_shown(vec![render::simulation_sample()]);
}

#[cfg(feature = "tools")]
#[test]
fn the_reference_tells_of_every_scenario() {
    for scenario in crate::sim::Scenario::ALL {
        let row = format!("| `{scenario}` | {} |", scenario.about());
        assert!(REFERENCE.contains(&row), "docs/ferryctl.md lacks {row}");
    }
}
