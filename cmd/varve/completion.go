package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// completions are the scripts that make shells ask varve how a line goes on:
// a command line that ends with --generate-bash-completion prints the words.
var completions = []struct{ shell, script, install string }{
	{"bash", bashCompletion, `source <(varve completion bash)`},
	{"zsh", zshCompletion, `source <(varve completion zsh)`},
	{"fish", "", `varve completion fish | source`},
	{"powershell", powershellCompletion, `varve completion powershell | Out-String | Invoke-Expression`},
}

const bashCompletion = `_varve_completion() {
  local cur="${COMP_WORDS[COMP_CWORD]}"
  local -a line=("${COMP_WORDS[@]:0:COMP_CWORD}")
  [[ "$cur" == -* ]] && line+=("${cur/#--/-}") # a bare -- would end the flags
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$("${line[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o bashdefault -o default -F _varve_completion varve
`

const zshCompletion = `#compdef varve
_varve_completion() {
  local -a line words_found
  line=("${(@)words[1,CURRENT-1]}")
  [[ "${words[CURRENT]}" == -* ]] && line+=("${words[CURRENT]/#--/-}")
  words_found=("${(@f)$("${line[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n "${words_found[1]}" ]]; then
    _describe 'varve' words_found
  else
    _files
  fi
}
compdef _varve_completion varve
`

const powershellCompletion = `Register-ArgumentCompleter -Native -CommandName varve -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $line = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
  if ($wordToComplete -ne '' -and $line.Count -gt 0 -and -not $wordToComplete.StartsWith('-')) {
    $line = @($line | Select-Object -SkipLast 1)
  }
  & varve @line --generate-bash-completion 2>$null |
    Where-Object { $_ -like "$wordToComplete*" } |
    ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }
}
`

func completionCommand() *cli.Command {
	var list strings.Builder
	for _, s := range completions {
		fmt.Fprintf(&list, "   %s\n", s.install)
	}
	return verb(&cli.Command{
		Name: "completion", Usage: "print a script that completes commands and flags in a shell", ArgsUsage: "SHELL",
		Description: "SHELL is bash, zsh, fish or powershell. To have it in every shell, put the line\ninto the shell's startup file.\n\nExamples:\n   varve completion bash > ~/.local/share/bash-completion/completions/varve\n" +
			strings.TrimRight(list.String(), "\n"),
		Action: completion,
	})
}

func completion(c *cli.Context) error {
	args, err := arguments(c, "SHELL")
	if err != nil {
		return err
	}
	var names []string
	for _, s := range completions {
		if names = append(names, s.shell); s.shell != args[0] {
			continue
		}
		script := s.script
		if script == "" {
			if script, err = app().ToFishCompletion(); err != nil {
				return err
			}
		}
		_, err = fmt.Fprint(c.App.Writer, script)
		return err
	}
	return usageError{fmt.Errorf("no completion for %q; there is %s", args[0], strings.Join(names, ", "))}
}
