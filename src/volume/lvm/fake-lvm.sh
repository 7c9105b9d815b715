#!/bin/sh
# A fake of LVM for unit tests: `lvs`, `lvcreate`, `lvchange` and `lvremove` in one, told apart by name, through
# links in the directory where it keeps its state. An LV is a file `volumes/VG/LV` with its attributes and its tags;
# `refuse-COMMAND` holds a complaint to fail with; `log` says what was asked.
cd "$(dirname "$0")"
command=$(basename "$0")
echo "$command $*" >> log
if [ -e "refuse-$command" ]; then cat "refuse-$command" >&2; exit 5; fi
for last; do :; done

row() {
    vg=$(basename "$(dirname "$1")") lv=$(basename "$1")
    { read -r attributes; read -r tags; } < "$1"
    [ "$tags" = - ] && tags=
    printf '{"vg_name":"%s","lv_name":"%s","lv_uuid":"%s","lv_size":"%s","lv_attr":"%s","pool_lv":"","origin":"","lv_tags":"%s","lv_dm_path":"%s"}' \
        "$vg" "$lv" "id-$lv" 1048576 "$attributes" "$tags" "/dev/mapper/$vg-$lv"
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

case $command in
lvs)
    printf '{"report":[{"lv":['
    comma=
    for file in volumes/*/*; do
        [ -e "$file" ] || continue
        vg=$(basename "$(dirname "$file")") lv=$(basename "$file")
        case $last in
            "vg_name=\"$vg\" && lv_name=\"$lv\"" | "lv_dm_path=\"/dev/mapper/$vg-$lv\"") ;;
            lv_tags=*) grep -q "${last#lv_tags=}" "$file" || continue;;
            *) continue;;
        esac
        printf "$comma"; comma=,
        row "$file"
    done
    printf ']}]}\n';;
lvcreate)
    tags=$(option --addtag "$@" | tr '\n' ,)
    name=$(option --name "$@")
    printf 'Vwi-a-tz-k\n%s\n' "${tags%,}" > "volumes/${last%/*}/$name";;
lvchange)
    file=volumes/$last
    { read -r attributes; read -r tags; } < "$file"
    case " $* " in
        *" --activate=y "*) attributes=Vwi-a-tz-k;;
        *" --activate=n "*) attributes=Vwi---tz-k;;
        *" --deltag "*) tags=-;;
    esac
    printf '%s\n%s\n' "$attributes" "$tags" > "$file";;
lvremove)
    if ! [ -e "volumes/$last" ]; then echo "Failed to find logical volume" >&2; exit 5; fi
    rm "volumes/$last";;
esac
