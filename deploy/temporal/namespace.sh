#!/bin/sh
# The namespace with Towpath's retention and search attributes; a second run finds nothing to do.
# Needs TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, RETENTION_DAYS.
set -eu

tries=60
until temporal operator cluster health >/dev/null 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ]; then
        echo "the Temporal server at $TEMPORAL_ADDRESS does not serve" >&2
        exit 1
    fi
    sleep 1
done

# Finished jobs' links lead into the UI: its server keeps a workflow as long as we keep the job.
if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
    temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention "${RETENTION_DAYS}d"
else
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "${RETENTION_DAYS}d"
fi

# A namespace that was made a moment ago is not known to every part of the server yet.
tries=30
until known=$(temporal operator search-attribute list --namespace "$TEMPORAL_NAMESPACE"); do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || exit 1
    sleep 1
done
for name in TowpathOrg TowpathKind TowpathState; do
    case "$known" in
        *"$name"*) ;;
        *) temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" --name "$name" --type Keyword ;;
    esac
done
echo "namespace $TEMPORAL_NAMESPACE is ready"
