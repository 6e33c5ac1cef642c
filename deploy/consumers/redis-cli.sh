#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints new alerts as JSON lines and acknowledges them; run it again and it goes on.
# Arguments are given to redis-cli: redis-cli.sh -h redis.example --tls
# (password: REDISCLI_AUTH in the environment). Needs redis-cli 7 and jq; the project's tests run it.
set -eu
stream=${STREAM:-stripwatch:alerts} group=${GROUP:-shell} consumer=${CONSUMER:-$(hostname)}

redis-cli "$@" XGROUP CREATE "$stream" "$group" 0 MKSTREAM >/dev/null 2>&1 || true
# What a run before this one got and did not acknowledge comes first ("0"), then what is new (">").
for from in 0 '>'; do
	while :; do
		# --json answers with an object (RESP 3), stream by stream; it escapes control characters:
		# nothing off the wire reaches the terminal raw.
		reply=$(redis-cli --json "$@" XREADGROUP GROUP "$group" "$consumer" COUNT 100 \
			STREAMS "$stream" "$from")
		ids=$(printf '%s' "$reply" | jq -r '.[]?[]?[0]')
		[ -n "$ids" ] || break
		printf '%s' "$reply" | jq -c '.[][] | .[1] as $f |
			[range(0; $f | length; 2) | {($f[.]): $f[. + 1]}] | add | .json | fromjson'
		# shellcheck disable=SC2086
		redis-cli "$@" XACK "$stream" "$group" $ids >/dev/null
	done
done
