# dbt-postgres: a seed, a view, a table, an incremental model run twice, tests, docs.
project=$(mktemp -d)
cp -r dbt/. "$project"
export DBT_PROFILES_DIR=$project DBT_SEND_ANONYMOUS_USAGE_STATS=false DBT_LOG_FORMAT=text
cd "$project"
say() { printf '%s\t%s\n' "$1" "${2//$'\n'/\\n}"; }
dbt() { "$LIMNOS_CLIENTS_BIN/dbt" --no-use-colors --quiet "$@" 2>&1 | grep -vE '^ *(compiled|Compiled) code at' | sed -E 's/^[0-9:]+ +//' || true; }
outcome() {
    "$LIMNOS_CLIENTS_BIN/python" - <<'PYTHON'
import json
for result in sorted(json.load(open("target/run_results.json"))["results"], key=lambda r: r["unique_id"]):
    told = (result["message"] or "") if result["status"] in ("error", "fail") else ""
    print(result["unique_id"], result["status"], " ".join(told.split("\n")[:3]).strip())
PYTHON
}
dropped() { psql -X -q -c 'DROP SCHEMA IF EXISTS dbt_tried CASCADE' >/dev/null 2>&1 || true; }
dropped
say debug "$("$LIMNOS_CLIENTS_BIN/dbt" --no-use-colors debug 2>&1 | grep -oE "Connection test: .*" || true)"
for command in seed run test; do
    dbt $command >"$command.log"
    say "$command" "$(outcome)"
done
dbt run >again.log
say 'run again' "$(outcome)"
say rows "$(psql -X -At -c 'SELECT count(*), min(label), sum(n_nationkey) FROM dbt_tried.nations' -c 'SELECT count(*), sum(revenue) FROM dbt_tried.by_month' -c 'SELECT count(*), max(id) FROM dbt_tried.recent' 2>&1)"
say columns "$(psql -X -At -c "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'dbt_tried' ORDER BY 1, ordinal_position" 2>&1)"
dbt docs generate >docs.log
say docs "$("$LIMNOS_CLIENTS_BIN/python" - <<'PYTHON'
import json
catalog = json.load(open("target/catalog.json"))
print(catalog["errors"], [(key, node["metadata"]["type"], [(c["name"], c["type"]) for c in node["columns"].values()]) for key, node in sorted(catalog["nodes"].items())])
PYTHON
)"
dropped
