//! The stand-ins that need no file of their own: helloworld, tcp-echo and any other image.

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{AppConfig, Reply, Request};

pub(super) fn helloworld(config: &AppConfig, request: &Request, version: u8) -> Reply {
    match request.path.as_str() {
        "/hello" => Reply::html(format!(
            "Hello version: v{version}, instance: {}\n",
            config.name
        )),
        "/health" => Reply::text(200, "Helloworld is healthy"),
        _ => Reply::not_found(),
    }
}

/// Any HTTP 200 does: the path and the host are echoed so that a reader sees which request arrived.
pub(super) fn plain(request: &Request) -> Reply {
    let host = request.header("host").unwrap_or("-");
    Reply::text(
        200,
        format!("{} {} host {host}\n", request.method, request.path),
    )
}

pub(super) async fn echo(mut stream: TcpStream) -> Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await.context("echo")? {
        writer
            .write_all(format!("hello {line}\n").as_bytes())
            .await
            .context("echo")?;
    }
    Ok(())
}
