#!/usr/bin/env bash
# jars.sh FILE: fetches a Kafka broker with Maven and writes its class path to FILE. Tests find it there:
#   test/kafka/jars.sh /tmp/kafka.classpath && SLUICE_TEST_KAFKA=/tmp/kafka.classpath npm test
set -euo pipefail
pom=$(dirname "${BASH_SOURCE[0]}")/pom.xml
timeout 300 mvn -q -B -f "$pom" dependency:build-classpath -Dmdep.outputFile="$(realpath -m "$1")"
