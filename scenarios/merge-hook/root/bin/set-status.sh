#!/bin/sh
# Sets the status of a change: sh bin/set-status.sh SLUG STAGE [--force]
set -eu

slug=${1:?usage: set-status.sh SLUG STAGE [--force]}
stage=${2:?usage: set-status.sh SLUG STAGE [--force]}
file=$slug.md

[ -f "$file" ] || { echo "error: there is no change '$slug'" >&2; exit 2; }

field() {
    sed -n "s/^$1:[[:space:]]*//p" "$file" | head -n 1
}

if [ "$stage" = done ] && [ "${3:-}" != --force ] && [ -z "$(field pr)$(field mod-block)" ]; then
    for mod in _mods/*.md; do
        if grep -q '^## Hook: merge' "$mod" 2>/dev/null; then
            name=$(basename "$mod" .md)
            echo "refused: '$slug' cannot advance to the terminal stage 'done':" \
                "the merge hook of mod '$name' has not run (pr and mod-block are empty)" >&2
            exit 3
        fi
    done
fi

sed "s/^status:.*/status: $stage/" "$file" >"$file.new"
mv "$file.new" "$file"
echo "$slug: status is $stage"
