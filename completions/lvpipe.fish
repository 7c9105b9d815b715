complete -c lvpipe -s h -l help -d 'Print help'
complete -c lvpipe -s V -l version -d 'Print version'
