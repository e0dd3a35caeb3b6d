//! What runs in the applications' containers: the demo's stand-ins, or nothing but waiting.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use meltemi_demo::{AppConfig, AppKind, Resolver, run_app};

use crate::settings;

/// `pause`, or `stand-in IMAGE [ARGUMENTS]` with the arguments of the real image's program.
pub(crate) fn run(image: &str, arguments: &[String]) -> Result<()> {
    let kind = AppKind::of_image(image, None);
    let env = settings::environment();
    let config = AppConfig {
        kind,
        name: env.get("HOSTNAME").cloned().unwrap_or_default(),
        ports: ports(kind, arguments)?,
        env,
        resolver: Resolver::default(),
    };
    runtime()?.block_on(run_app(config))
}

/// The first process of a pod: it does nothing until it is told to end.
pub(crate) fn pause() -> Result<()> {
    runtime()?.block_on(async {
        let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .context("signals")?;
        end.recv().await;
        Ok(())
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
}

/// Where the real image listens, unless its arguments say otherwise: gunicorn's `-b ADDRESS:PORT`, tcp-echo's first word.
fn ports(kind: AppKind, arguments: &[String]) -> Result<Vec<u16>> {
    let number = |text: &str| {
        text.parse::<u16>()
            .with_context(|| format!("{text} is not a port"))
    };
    let bound = arguments
        .windows(2)
        .find(|two| two[0] == "-b" || two[0] == "--bind")
        .map(|two| two[1].as_str());
    if let Some(address) = bound {
        let port = address.rsplit(':').next().unwrap_or_default();
        return Ok(vec![number(port)?]);
    }
    Ok(match kind {
        AppKind::Productpage | AppKind::Details | AppKind::Ratings | AppKind::Reviews(_) => {
            vec![9080]
        }
        AppKind::Helloworld(_) => vec![5000],
        AppKind::Httpbin | AppKind::OutsideHttpbin | AppKind::Plain => vec![8080],
        AppKind::TcpEcho => match arguments.first() {
            Some(list) => list.split(',').map(number).collect::<Result<_>>()?,
            None => vec![9000],
        },
        AppKind::Idle => bail!("this image has no program of its own"),
    })
}

/// Where the stand-in lies in its image.
pub(crate) fn program() -> &'static Path {
    Path::new("usr/local/bin/stand-in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_those_of_the_real_images() {
        for (image, arguments, expected) in [
            ("examples-bookinfo-reviews-v2", &[][..], vec![9080]),
            ("go-httpbin", &[], vec![8080]),
            (
                "httpbin",
                &["--access-logfile", "-", "-b", "[::]:80", "httpbin:app"],
                vec![80],
            ),
            ("tcp-echo-server", &["9000,9001", "hello"], vec![9000, 9001]),
            ("examples-helloworld-v1", &[], vec![5000]),
            ("tomcat", &[], vec![8080]),
        ] {
            let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
            let found = ports(AppKind::of_image(image, None), &arguments).unwrap();
            assert_eq!(found, expected, "{image}");
        }
        assert!(ports(AppKind::Idle, &[]).is_err());
    }
}
