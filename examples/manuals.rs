//! Writes what the package carries for readers and shells, from the programs' own definitions: man pages and completions.
//!
//! `cargo run --example manuals -- FOLDER`

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use ferryd::daemon::DaemonArguments;
use ferryd::{config, ctl};

/// What `ferryd --help` has no room for.
const OF_THE_DAEMON: &str = r#".SH "EXIT STATUS"
0 after SIGTERM or SIGINT; 1 if it could not start, lost the bus, or found its queue damaged (the next start carries over
what is readable); 2 if the command line is wrong.
.SH SIGNALS
.TP
SIGTERM, SIGINT
End: what runs is cut, nothing is counted, and it goes on after the next start.
.TP
SIGHUP
Read the configuration anew; one that is refused is logged and changes nothing. \fBferryctl reload\fR says so itself.
.SH ENVIRONMENT
.TP
STATE_DIRECTORY, CREDENTIALS_DIRECTORY, NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM
As systemd sets them: where tasks are kept, where the secrets lie, whom to tell of readiness and state, how often to show
that the loop is alive, and whether standard error is the journal.
.TP
FERRYD_LOG
What is logged: error, warn, info (the default), debug or trace, also by module as in \fBinfo,ferryd::store=debug\fR.
.SH JOURNAL
Lines have the fields TASK, STRATEGY, BACKEND, REASON and ATTEMPT where they concern one:
.PP
.RS
journalctl \-u ferryd BACKEND=main
.RE
.SH FILES
.TP
/etc/ferryd/ferryd.toml, /etc/ferryd/conf.d/*.toml
The configuration; see \fBferryd.toml\fR(5).
.TP
/etc/credstore/ferryd.token
The secret for the servers, which the service takes as the credential \fBferryd.token\fR when it starts; owned by root, mode 0600.
.TP
/var/lib/ferryd
The queue, ferry.db, and files that wait, spool/.
.SH "SEE ALSO"
\fBferryctl\fR(1), \fBferryd.toml\fR(5), \fBbusctl\fR(1), \fBjournalctl\fR(1)
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("which folder?")?;
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    for made in [&man, &completions] {
        drop(fs::remove_dir_all(made));
        fs::create_dir_all(made)?;
    }
    daemon(&man)?;
    control(&man)?;
    configuration(&man)?;
    for (shell, name) in [(Shell::Bash, "ferryctl"), (Shell::Zsh, "_ferryctl"), (Shell::Fish, "ferryctl.fish")] {
        let mut file = File::create(completions.join(name))?;
        clap_complete::generate(shell, &mut ctl::command(), "ferryctl", &mut file);
    }
    Ok(())
}

fn page(command: Command, section: &str) -> Man {
    let source = format!("Ferry {}", env!("CARGO_PKG_VERSION"));
    Man::new(command).section(section).source(source).manual("Ferry")
}

fn daemon(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut file = File::create(folder.join("ferryd.8"))?;
    page(DaemonArguments::command(), "8").render(&mut file)?;
    file.write_all(OF_THE_DAEMON.as_bytes())?;
    Ok(())
}

/// A page for the program and one for each of its commands.
fn control(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut program = ctl::command().disable_help_subcommand(true);
    program.build();
    for command in program.get_subcommands() {
        page(command.clone(), "1").generate_to(folder)?;
    }
    page(program, "1").generate_to(folder)?;
    Ok(())
}

/// The sample is the reference: every key stands there with its meaning and its default.
fn configuration(folder: &Path) -> Result<(), Box<dyn Error>> {
    let literal = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        // A line that begins so would be a request.
        if line.starts_with(['.', '\'']) { format!("\\&{line}\n") } else { format!("{line}\n") }
    };
    let sample: String = config::SAMPLE.lines().map(literal).collect();
    let text = format!(
        ".TH ferryd.toml 5 \"\" \"Ferry {version}\" Ferry\n\
         .SH NAME\nferryd.toml \\- configuration of ferryd\n\
         .SH SYNOPSIS\n/etc/ferryd/ferryd.toml, /etc/ferryd/conf.d/*.toml\n\
         .SH DESCRIPTION\nTOML. The file that is installed follows; it holds every key with its default.\n\
         .PP\n.nf\n{sample}.fi\n.SH \"SEE ALSO\"\n\\fBferryd\\fR(8), \\fBferryctl\\fR(1)\n",
        version = env!("CARGO_PKG_VERSION"),
    );
    fs::write(folder.join("ferryd.toml.5"), text)?;
    Ok(())
}
