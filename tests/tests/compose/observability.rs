//! The profile `observability`, as far as it can be run here: Prometheus.

use e2e::poll::until;
use serde_json::Value;

use crate::project::{Project, SOON};

#[tokio::test]
async fn prometheus_reads_envoy_and_the_sidecar() {
    let project = Project::up("metrics", &["docker-compose.yml"])
        .await
        .unwrap();
    let up = ["up", "-d", "--no-build", "prometheus"];
    project.compose(&up).await.unwrap();
    until("both are scraped", SOON, async || {
        let targets = ask(&project, "/api/v1/targets").await?;
        let targets = targets["activeTargets"].as_array()?.clone();
        let mut healthy: Vec<_> = targets
            .iter()
            .filter(|target| target["health"] == "up")
            .filter_map(|target| target["labels"]["job"].as_str())
            .collect();
        healthy.sort_unstable();
        (healthy == ["envoy", "viewcache"]).then_some(())
    })
    .await
    .unwrap();
    let rules = ask(&project, "/api/v1/rules").await.unwrap();
    let groups = rules["groups"].as_array().unwrap();
    assert!(!groups.is_empty(), "alerts.yml is not read: {rules}");
    project.down().await.unwrap();
}

/// It is not published, so a neighbour asks.
async fn ask(project: &Project, target: &str) -> Option<Value> {
    let script = format!(
        "exec 3<>/dev/tcp/prometheus/9090 && \
         printf 'GET {target} HTTP/1.0\\r\\nHost: prometheus\\r\\n\\r\\n' >&3 && \
         sed '1,/^\\r$/d' <&3"
    );
    let body = project
        .exec("sidecar", &["bash", "-c", &script])
        .await
        .ok()?;
    let answer: Value = serde_json::from_str(&body).ok()?;
    Some(answer["data"].clone())
}
