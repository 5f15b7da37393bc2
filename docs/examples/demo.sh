#!/usr/bin/env bash
# The demo: start Ebb, let hello-world sleep, wake it with a request, split its traffic, load it, and see it sleep again.
# Everything is done with ebb, kubectl and curl, as you would; what is printed is measured in this run. Run it as often as you like.
#
#   EBB_STATE   the platform's folder (default ~/.ebb): one that is up is used, else one is started
#   EBB_PORT    the gateway's port, for a platform that is started here (default: that of ebb up)
#   BIN         where the programs are (default bin)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
cd "$repo"
BIN=${BIN:-bin}
export EBB_STATE=${EBB_STATE:-$HOME/.ebb}
image=gcr.io/knative-samples/helloworld-go
requests=1000
load_seconds=15
load_width=50
scratch=$(mktemp -d)
load_pid=
trap 'if [ -n "$load_pid" ]; then kill "$load_pid" 2>/dev/null || true; fi; rm -rf "$scratch"' EXIT

k() { "$BIN/ebb" kubectl "$@"; }
now() { echo "${EPOCHREALTIME/,/.}"; }
since() { awk -v from="$1" -v to="$(now)" 'BEGIN { d = to - from; if (d < 10) printf "%.2f s", d; else printf "%.0f s", d }'; }
say() { printf '  %-9s %-60s %9s\n' "$1" "$2" "${3:-}"; }
detail() { printf '  %-9s %s\n' '' "$1"; }
fail() {
	printf '\ndemo: %s\n' "$1" >&2
	if [ -s "$scratch/err" ]; then sed 's/^/  /' "$scratch/err" >&2; fi
	exit 1
}

# apply FILE: apply it and wait until every gateway has accepted it.
apply() {
	: >"$scratch/err"
	k apply -f "$here/$1" >/dev/null 2>"$scratch/err" || fail "kubectl apply -f docs/examples/$1 failed:"
	if ! k wait --for=condition=Ready ksvc/hello-world --timeout=90s >/dev/null 2>&1; then
		k get ksvc hello-world -o jsonpath='{range .status.conditions[*]}{.type}={.status} {.message}{"\n"}{end}' >"$scratch/err" 2>&1 || true
		fail "hello-world is not Ready after 90 s:"
	fi
}

# replicas prints how many replicas of v1 and v2 are ready, and how many pods there are: "1 2 3".
replicas() {
	k get deployments,pods -l serving.knative.dev/service=hello-world -o jsonpath='{range .items[*]}{.kind}{" "}{.metadata.labels.serving\.knative\.dev/revision}{" "}{.status.readyReplicas}{"\n"}{end}' |
		awk '$1 == "Pod" { pods++ } $1 == "Deployment" { n[$2] = $3 } END { print n["hello-world-v1"] + 0, n["hello-world-v2"] + 0, pods + 0 }'
}

asleep() {
	local deadline=$((SECONDS + 180)) a b pods
	while read -r a b pods < <(replicas) && [ "$pods" != 0 ]; do
		[ "$SECONDS" -lt "$deadline" ] || fail "hello-world still has $pods pods after 180 s without a request; see: $BIN/ebb logs control-plane"
		sleep 0.5
	done
}

# ask prints the answer to one request and the seconds it took, or fails.
ask() {
	curl -sS --noproxy '*' --fail-with-body --max-time 30 -w '%{time_total}' "$url" >"$scratch/answer" 2>"$scratch/err" ||
		fail "curl $url failed: $(tr '\n' ' ' <"$scratch/answer")"
}

printf '\nEbb: a Service that sleeps, wakes, splits and scales\n\n'

# 1. The platform.
from=$(now)
if "$BIN/ebb" status 2>/dev/null | grep -q '^ready in'; then
	say platform "is up already in $EBB_STATE" "$(since "$from")"
else
	"$BIN/ebb" up --detach ${EBB_PORT:+--http-port "$EBB_PORT"} || fail "ebb up failed; its reason is above"
	echo
	say platform "$("$BIN/ebb" status | sed -n '1s/^ready in \(.*\), node: \(.*\)/up in \1, node: \2/p')" "$(since "$from")"
fi

# 2. The image: as its name says where a registry can be asked, else the program of that name in test/images.
from=$(now)
if "$BIN/ebb" image list 2>/dev/null | grep -q "^$image"; then
	say image "the local store has $image" "$(since "$from")"
else
	code=$(curl -s -o /dev/null --max-time 5 -w '%{http_code}' https://gcr.io/v2/ || true)
	if [ "$code" = 200 ] || [ "$code" = 401 ]; then
		say image "gcr.io is in reach: the image comes from there" "$(since "$from")"
	else
		"$BIN/ebb" image build test/images/helloworld-go --name "$image" >/dev/null 2>"$scratch/err" || fail "ebb image build test/images/helloworld-go failed:"
		say image "no registry is in reach: built test/images/helloworld-go" "$(since "$from")"
		detail "as $image"
	fi
fi

# 3. A Service.
from=$(now)
apply hello-world.yaml
say apply "hello-world.yaml: Ready" "$(since "$from")"
url=$(k get ksvc hello-world -o jsonpath='{.status.url}')
detail "$url"

# 4. Nobody calls: it sleeps.
from=$(now)
asleep
say sleep "nobody calls, no pod is left" "$(since "$from")"

# 5. A request wakes it, and is answered by the pod that it woke.
ask
body=$(head -n1 "$scratch/answer")
[ "$body" = "Hello from v1!" ] || fail "expected \"Hello from v1!\" from $url, got \"$body\""
cold=$(tail -n1 "$scratch/answer")
say wake "curl, from no pod at all:  $body" "$(awk -v s="$cold" 'BEGIN { printf "%.0f ms", s * 1000 }')"
ask
say again "curl, awake" "$(tail -n1 "$scratch/answer" | awk '{ printf "%.1f ms", $1 * 1000 }')"

# 6. A canary: one request in five goes to the new revision.
from=$(now)
apply canary.yaml
say canary "canary.yaml: 80 % v1, 20 % v2: Ready" "$(since "$from")"
from=$(now)
curl -sS --noproxy '*' --fail --max-time 120 "$url/?[1-$requests]" >"$scratch/split" 2>"$scratch/err" || fail "a request of the split failed:"
v1=$(grep -c '^Hello from v1!$' "$scratch/split" || true)
v2=$(grep -c '^Hello from v2!$' "$scratch/split" || true)
say split "$requests requests, one after the other" "$(since "$from")"
# Each request is drawn for itself, so a count of 200 is one of many: 95 of 100 runs are within 25 of it, all but one in ten thousand within 50.
awk -v v1="$v1" -v v2="$v2" -v n="$requests" 'BEGIN {
	printf "  %-9s %-16s %6s %8s %8s\n", "", "revision", "wanted", "answers", "share"
	printf "  %-9s %-16s %6s %8d %6.1f %%\n", "", "hello-world-v1", "80 %", v1, 100 * v1 / n
	printf "  %-9s %-16s %6s %8d %6.1f %%\n", "", "hello-world-v2", "20 %", v2, 100 * v2 / n
}'
[ $((v1 + v2)) = "$requests" ] || fail "$((requests - v1 - v2)) of $requests requests were answered by neither revision"
[ "$v2" -ge 150 ] && [ "$v2" -le 250 ] || fail "$v2 of $requests requests went to v2; between 150 and 250 were expected"

# 7. Load: replicas come, and go when it is over.
say load "$load_width requests at a time for $load_seconds s; ready replicas:"
detail "$(printf '%-6s %-8s %-8s' time v1 v2)"
from=$(now)
timeout "$load_seconds" curl --no-progress-meter --noproxy '*' --parallel --parallel-immediate --parallel-max "$load_width" \
	-o /dev/null -w '%{http_code} %{time_total}\n' "$url/?[1-10000000]" >"$scratch/load" 2>"$scratch/load.err" &
load_pid=$!
last= most=0 deadline=$((SECONDS + load_seconds + 180))
while :; do
	loading=true
	kill -0 "$load_pid" 2>/dev/null || loading=
	read -r v1 v2 pods < <(replicas)
	if [ "$v1 $v2" != "$last" ]; then
		last="$v1 $v2"
		bars=$(printf '%*s' "$v1" '' | tr ' ' '#')
		more=$(printf '%*s' "$v2" '' | tr ' ' '#')
		detail "$(printf '%-6s %d %-6s %d %-6s' "$(awk -v f="$from" -v t="$(now)" 'BEGIN { printf "%.0f s", t - f }')" "$v1" "$bars" "$v2" "$more")"
	fi
	if [ $((v1 + v2)) -gt "$most" ]; then most=$((v1 + v2)); fi
	if [ -z "$loading" ] && [ "$pods" = 0 ]; then break; fi
	[ "$SECONDS" -lt "$deadline" ] || fail "hello-world still has $pods pods 180 s after the load; see: $BIN/ebb logs control-plane"
	sleep 0.5
done
load_pid=
# The requests that curl's end cut off have no code, and the line that it was writing is not whole.
awk 'NF == 2 && $1 != "000"' "$scratch/load" | sort -k2 -n >"$scratch/answers"
total=$(wc -l <"$scratch/answers")
bad=$(awk '$1 != "200"' "$scratch/answers" | wc -l)
[ "$total" -gt 0 ] || { cp "$scratch/load.err" "$scratch/err"; fail "the load got no answer:"; }
say answers "$(awk -v bad="$bad" '{ t[NR] = $2 } END { printf "%d, %d of them not 200; half within %.0f ms, 99 %% within %.0f ms", NR, bad, 1000 * t[int((NR + 1) / 2)], 1000 * t[int(NR * .99) + (NR < 100)] }' "$scratch/answers")"
[ "$bad" = 0 ] || { awk '$1 != "200" { print $1 }' "$scratch/answers" | sort | uniq -c >"$scratch/err"; fail "$bad of $total requests under load were not answered with 200:"; }
[ "$most" -gt 2 ] || fail "the load brought no further replica: never more than $most were ready"
say asleep "no pod is left" "$(since "$from")"

cat <<END

Ebb goes on running. Try
  curl $url
  $BIN/ebb kubectl get ksvc,pods -A        or: export KUBECONFIG=\$($BIN/ebb kubeconfig)
  $BIN/ebb status        $BIN/ebb logs -f        $BIN/ebb down
END
if [ "$EBB_STATE" != "$HOME/.ebb" ]; then
	printf 'with EBB_STATE=%s in the environment.\n' "$EBB_STATE"
fi
