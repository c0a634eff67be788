unset HISTFILE
PS1='\w\$ '
# A serial line does not tell the size of what is at its other end.
case $(tty) in */ttyS*) stty rows 24 columns 80 ;; esac
if vestry; then clear; fi
cat <<'TEXT'
vestry         the home screen again          vestry --help    all it can do
ls /media      sticks, each by its name; pull one two seconds after its last use
set-clock      the clock, in UTC              turn-off         forget everything

TEXT
