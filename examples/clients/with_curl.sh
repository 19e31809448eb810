#!/usr/bin/env bash
# Ask the demo's models with curl, one answer on each line: ./with_curl.sh [ADDRESS]
set -euo pipefail
address=${1:-http://127.0.0.1:8000}

ask() {
    # --retry waits as long as a busy server says in Retry-After; --fail-with-body ends with a status, and still
    # prints what is wrong.
    curl --silent --show-error --fail-with-body --retry 5 --header "Content-Type: application/json" \
        ${BIGBIRD_API_KEY:+--header "Authorization: Bearer $BIGBIRD_API_KEY"} --data @- "$address/$1"
    echo
}

ask qa <<'END'
{
  "question": "Where can Miareis Station be found?",
  "context": "Visitors speak well of Takahashi House, which Diana Bianchi designed. Miareis Station is situated in Casablanca. Proteins were observed under the microscope."
}
END
ask classify <<'END'
{
  "text": "Visitors speak well of Takahashi House, which Diana Bianchi designed. Miareis Station is situated in Casablanca. Proteins were observed under the microscope.",
  "top_k": 1
}
END
ask ner <<'END'
{
  "text": "Visitors speak well of Takahashi House, which Diana Bianchi designed. Miareis Station is situated in Casablanca. Proteins were observed under the microscope."
}
END
