#!/bin/sh
# A fake of LVM for unit tests: `lvs`, `lvcreate`, `lvchange` and `lvremove` in one, told apart by name, through
# links in the directory where it keeps its state. An LV is a file `volumes/VG/LV` with its attributes, its tags and its
# id; `refuse-COMMAND` holds a complaint to fail with; `before-COMMAND` is done first, as by somebody who is faster; `log`
# says what was asked.
cd "$(dirname "$0")"
command=$(basename "$0")
echo "$command $*" >> log
if [ -e "refuse-$command" ]; then cat "refuse-$command" >&2; exit 5; fi
if [ -e "before-$command" ]; then . "./before-$command"; fi
for last; do :; done

row() {
    vg=$(basename "$(dirname "$1")") lv=$(basename "$1")
    { read -r attributes; read -r tags; read -r id; } < "$1"
    [ "$tags" = - ] && tags=
    printf '{"vg_name":"%s","lv_name":"%s","lv_uuid":"%s","lv_size":"%s","lv_attr":"%s","pool_lv":"","thin_id":"","origin":"","lv_tags":"%s","lv_dm_path":"%s"}' \
        "$vg" "$lv" "${id:-id-$lv}" 1048576 "$attributes" "$tags" "/dev/mapper/$vg-$lv"
}

option() { # the value of an option, given as --name=value or --name value
    wanted=$1; shift
    while [ $# -gt 0 ]; do
        case $1 in
            "$wanted="*) echo "${1#*=}";;
            "$wanted") echo "$2";;
        esac
        shift
    done
}

selected() { # FILE SELECTION: whether the selection, as far as lvpipe uses them, has this LV
    vg=$(basename "$(dirname "$1")") lv=$(basename "$1")
    id=$(sed -n 3p "$1")
    id=${id:-id-$lv}
    tag=${2#*lv_tags=} tag=${tag#\"} tag=${tag%\"}
    case $2 in
        "vg_name=\"$vg\" && lv_name=\"$lv\"" | "lv_dm_path=\"/dev/mapper/$vg-$lv\"" | "lv_uuid=\"$id\"") ;;
        lv_tags=* | "vg_name=\"$vg\" && lv_tags="* | *"lv_uuid=\"$id\" && lv_tags="*)
            sed -n 2p "$1" | tr , '\n' | grep -qxF -e "$tag";;
        *) false;;
    esac
}

case $command in
lvs)
    printf '{"report":[{"lv":['
    comma=
    for file in volumes/*/*; do
        [ -e "$file" ] || continue
        selected "$file" "$last" || continue
        printf "$comma"; comma=,
        row "$file"
    done
    printf ']}]}\n';;
lvcreate)
    tags=$(option --addtag "$@" | tr '\n' ,)
    name=$(option --name "$@")
    if [ -e "volumes/${last%/*}/$name" ]; then echo "Logical Volume \"$name\" already exists" >&2; exit 5; fi
    printf 'Vwi-a-tz-k\n%s\n' "${tags%,}" > "volumes/${last%/*}/$name";;
lvchange)
    selection=$(option --select "$@")
    for file in "volumes/$last" "volumes/$last"/*; do
        [ -f "$file" ] || continue
        if [ -n "$selection" ] && ! selected "$file" "$selection"; then continue; fi
        { read -r attributes; read -r tags; read -r id; } < "$file"
        case " $* " in
            *" --activate=y "*) attributes=Vwi-a-tz-k;;
            *" --activate=n "*)
                case $attributes in ?????o*) echo "Logical volume in use." >&2; exit 5;; esac
                attributes=Vwi---tz-k;;
        esac
        for tag in $(option --deltag "$@"); do
            tags=$(echo ",$tags," | sed "s/,$tag,/,/; s/^,//; s/,\$//")
        done
        for tag in $(option --addtag "$@"); do
            tags=${tags#-}
            tags=${tags:+$tags,}$tag
        done
        printf '%s\n%s\n%s\n' "$attributes" "${tags:--}" "$id" > "$file"
    done;;
lvremove)
    selection=$(option --select "$@")
    for file in "volumes/$last"/*; do
        if [ -e "$file" ] && selected "$file" "$selection"; then rm "$file"; fi
    done;;
esac
