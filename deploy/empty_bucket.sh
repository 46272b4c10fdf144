#!/bin/sh
# Deletes every object of a bucket, every version and every delete marker, and then the bucket. There is no way back.
#
#   deploy/empty_bucket.sh --delete-all-versions BUCKET...
#
# A thousand versions a call, about a million an hour. It may be stopped and run again.
set -eu

[ "${1:-}" = --delete-all-versions ] && [ $# -gt 1 ] || {
    echo 'usage: deploy/empty_bucket.sh --delete-all-versions BUCKET... (there is no way back)' >&2
    exit 2
}
shift

list=$(mktemp)
trap 'rm -f "$list"' EXIT

for bucket; do
    count=0
    while :; do
        aws s3api list-object-versions --bucket "$bucket" --no-paginate --max-keys 1000 --output json \
            --query '{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}, Quiet: `true`}' >"$list"
        found=$(grep -c '^ *"VersionId": ' "$list") || break  # none is left
        # With Quiet, S3 answers with what it did not delete, and an exit status of 0 all the same.
        refused=$(aws s3api delete-objects --bucket "$bucket" --delete "file://$list" \
            --query 'Errors[0].[Code, Message]' --output text)
        case $refused in '' | None | None*None) ;; *) echo "$bucket: $refused" >&2; exit 1 ;; esac
        count=$((count + found))
        echo "$bucket: $count versions deleted"
    done
    aws s3api delete-bucket --bucket "$bucket" || {
        echo "$bucket was emptied, and S3 keeps it (above). A log's last lines come for some hours: try again then." >&2
        exit 1
    }
    echo "$bucket is gone"
done
