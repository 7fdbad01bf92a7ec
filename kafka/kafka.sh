#!/usr/bin/env bash
# A real Kafka broker (KRaft, one node, loopback only) for the integration tests.
#
#   kafka.sh up      start it, or find it running; prints host:port once it answers
#   kafka.sh down    end the process that `up` started; its data stays for the next `up`
#   kafka.sh kill    the same with SIGKILL
#   kafka.sh freeze  stop the process where it is, with SIGSTOP
#   kafka.sh thaw    let it go on
#   kafka.sh env     print FARTHING_TEST_KAFKA=host:port of the running broker
#
# Environment:
#   KAFKA_STATE_DIR           configuration, data, log and pid file; default .cache/kafka/state. One broker for each.
#   FARTHING_TEST_KAFKA_PORT  the port; default the one used before in this directory, else a free one
#   KAFKA_PROPERTIES          more broker settings, one key=value a line
#   KAFKA_HEAP                the most that the heap may take; default 512m
#   KAFKA_NODE_ID, KAFKA_CLUSTER_ID, KAFKA_CONTROLLER_PORT
#                             for one of several brokers: its number, the cluster's name (22 characters of base64url), and the port
#                             of the controller, which is with number 1
#
# Exit codes: 0 done, 69 Java 17 or Maven are missing (one line says which), 1 anything else.
# Needs Linux, bash, coreutils, grep, sed, util-linux. Maven runs once, to fetch the jars into .cache/kafka.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(dirname "$here")/.cache/kafka
state=${KAFKA_STATE_DIR:-$cache/state}
readonly here cache state
readonly start_seconds_max=90 stop_seconds_max=30 attempts_max=5

say() { echo "kafka.sh: $*" >&2; }
missing() { say "$*"; exit 69; }

# born tells the process $1 from another one of the same number, earlier or later: the boot, and the clock tick in it. It fails if
# there is none, or only its exit code is left. It reads /proc, because a small machine may have no ps.
born() {
  local boot stat
  { boot=$(</proc/sys/kernel/random/boot_id) && stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  read -ra stat <<<"${stat##*) }" # behind the name, which may hold anything: field 3 of proc_pid_stat(5) and on
  [[ ${stat[0]} != [ZX] ]] && echo "$boot ${stat[19]}"
}

# running prints the pid of the broker that `up` started here, if it lives.
running() {
  [[ -f $state/pid ]] || return 1
  local pid at
  { read -r pid && read -r at; } <"$state/pid" || return 1
  [[ -n $at && $(born "$pid") == "$at" ]] || return 1
  echo "$pid"
}

need_java() {
  command -v java >/dev/null || missing "java not found; a Kafka broker needs Java 17 or later"
  local version
  version=$(java -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p')
  [[ ${version:-0} -ge 17 ]] || missing "java is version ${version:-unknown}; a Kafka broker needs 17 or later"
}

# fetch_jars brings the jars of pom.xml into the cache, once for each content of pom.xml.
fetch_jars() {
  local mark
  mark=$(cksum <"$here/pom.xml")
  mkdir -p "$cache"
  (
    flock 9
    [[ -f $cache/libs.mark && $(<"$cache/libs.mark") == "$mark" ]] && exit 0
    command -v mvn >/dev/null || missing "mvn not found; it fetches the Kafka jars"
    rm -rf "$cache/libs"
    mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$cache/libs" >&2 9>&-
    echo "$mark" >"$cache/libs.mark"
  ) 9>"$cache/libs.lock"
}

# free_port draws below the range that the system gives to outgoing connections.
free_port() {
  local port try
  for ((try = 0; try < 100; try++)); do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  say "no free port found"
  return 1
}

# configure writes server.properties for broker port $1 and controller port $2.
configure() {
  local node=${KAFKA_NODE_ID:-1} roles=broker,controller controller=,CONTROLLER://127.0.0.1:$2
  [[ $node == 1 ]] || { roles=broker controller=; }
  cat >"$state/server.properties" <<EOF
process.roles=$roles
node.id=$node
controller.quorum.voters=1@127.0.0.1:$2
listeners=BROKER://127.0.0.1:$1$controller
advertised.listeners=BROKER://127.0.0.1:$1
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs=$state/data
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
${KAFKA_PROPERTIES:-}
EOF
}

# jvm runs a class of Kafka in this process; serial GC and one compiler tier start faster and stay small.
jvm() {
  exec java -Xmx"${KAFKA_HEAP:-512m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true -Djava.net.preferIPv4Stack=true \
    -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$cache/libs/*" "$@"
}

format() {
  [[ -f $state/data/meta.properties ]] && return
  local id=${KAFKA_CLUSTER_ID:-}
  [[ -n $id ]] || id=A$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c1-21)
  (jvm kafka.tools.StorageTool format --cluster-id "$id" --config "$state/server.properties") >"$state/format.log" 2>&1 ||
    { cat "$state/format.log" >&2; say "formatting failed"; return 1; }
}

# await reads the log until the broker says that it serves, or has ended, or the time is over.
await() {
  local line="" part deadline=$((SECONDS + start_seconds_max)) answer=1
  exec 4<"$state/broker.log"
  while running >/dev/null && ((SECONDS < deadline)); do
    while IFS= read -r -u 4 part; do
      line+=$part
      if [[ $line == *"Kafka Server started"* ]]; then answer=0; break 2; fi
      line=""
    done
    line+=$part # without its end so far
    sleep 0.1
  done
  exec 4<&-
  return $answer
}

# launch starts the broker on port $1 and waits for it. The process that becomes the broker writes the pid file first, so
# none is ever without one, and then names itself.
launch() {
  local port=$1 controller pid
  controller=${KAFKA_CONTROLLER_PORT:-$(free_port)} && configure "$port" "$controller" && format && : >"$state/broker.log" || return 1
  exec 3< <({
    { echo "$BASHPID" && born "$BASHPID"; } >"$state/pid" && echo "$BASHPID" &&
      jvm kafka.Kafka "$state/server.properties" >"$state/broker.log" 2>&1 </dev/null 9>&-
  } &)
  read -r -u 3 pid || { say "$state/pid cannot be written"; return 1; }
  exec 3<&-
  await && [[ $(running) == "$pid" ]] && { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null
}

up() {
  need_java
  fetch_jars
  mkdir -p "$state"
  exec 9>"$state/lock"
  flock 9
  if running >/dev/null; then cat "$state/address"; return; fi
  local port try
  # Whatever ends this from here on, an interrupt or a closed pipe too, ends the broker.
  trap stop EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  for ((try = 0; try < attempts_max; try++)); do
    port=${FARTHING_TEST_KAFKA_PORT:-}
    [[ -z $port && $try == 0 && -f $state/address ]] && port=$(cut -d: -f2 "$state/address")
    [[ -n $port ]] || port=$(free_port)
    if launch "$port"; then
      echo "127.0.0.1:$port" >"$state/address"
      cat "$state/address"
      trap - EXIT
      return
    fi
    stop
    # Somebody else may have taken a port since it was found free; nothing else is worth another try.
    [[ -z ${FARTHING_TEST_KAFKA_PORT:-} ]] && grep -qs "Address already in use" "$state/broker.log" || break
  done
  [[ ! -f $state/broker.log ]] || tail -n 40 "$state/broker.log" >&2
  say "the broker did not start; see $state/broker.log"
  return 1
}

# stop ends the broker that runs here, with the signal $1 or SIGTERM, and waits for it.
stop() {
  local pid deadline=$((SECONDS + stop_seconds_max))
  if pid=$(running); then
    kill -s "${1:-TERM}" "$pid" 2>/dev/null || true
    kill -s CONT "$pid" 2>/dev/null || true # a frozen one hears of nothing else
    while running >/dev/null; do
      ((SECONDS < deadline)) || kill -9 "$pid" 2>/dev/null || true
      ((SECONDS < deadline + stop_seconds_max)) || { say "process $pid does not end"; return 1; }
      sleep 0.1
    done
  fi
  rm -f "$state/pid"
}

# freeze stops a process and waits until each of its threads has stopped: the signal only asks for it, and a busy machine takes its time.
freeze() {
  local deadline=$((SECONDS + stop_seconds_max))
  kill -s STOP "$1"
  while [[ -n $(sed 's/.*) \(.\).*/\1/' /proc/"$1"/task/*/stat 2>/dev/null | tr -d 'T\n') ]]; do
    ((SECONDS < deadline)) || { say "process $1 does not stop"; return 1; }
    sleep 0.01
  done
}

case ${1:-} in
up) up ;;
down | kill)
  [[ -d $state ]] || exit 0
  exec 9>"$state/lock"
  flock 9
  if [[ $1 == kill ]]; then stop KILL; else stop; fi
  ;;
freeze | thaw)
  pid=$(running) || { say "no broker runs in $state"; exit 1; }
  if [[ $1 == freeze ]]; then freeze "$pid"; else kill -s CONT "$pid"; fi
  ;;
env)
  running >/dev/null || { say "no broker runs in $state"; exit 1; }
  echo "FARTHING_TEST_KAFKA=$(<"$state/address")"
  ;;
*)
  say "usage: kafka.sh up|down|kill|freeze|thaw|env"
  exit 2
  ;;
esac
