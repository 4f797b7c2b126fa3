package cli

import "github.com/spf13/pflag"

// SourceFlags say which repository a command reads besides the one that it
// works on, and how to open it.
type SourceFlags struct {
	repo, repositoryFile          string
	passwordFile, passwordCommand string
	keyHint                       string
	noPassword                    bool

	// The same under the names that restic had before 0.14.
	repo2, repositoryFile2          string
	passwordFile2, passwordCommand2 string
	keyHint2                        string
}

// AddFlags defines the flags; purpose says what is done with the repository.
func (s *SourceFlags) AddFlags(f *pflag.FlagSet, purpose string) {
	f.StringVar(&s.repo, "from-repo", "", "source `repository` to "+purpose+" (default: $RESTIC_FROM_REPOSITORY)")
	f.StringVar(&s.repositoryFile, "from-repository-file", "", "`file` with the location of the source repository to "+purpose+" (default: $RESTIC_FROM_REPOSITORY_FILE)")
	f.StringVar(&s.passwordFile, "from-password-file", "", "`file` to read the source repository password from (default: $RESTIC_FROM_PASSWORD_FILE)")
	f.StringVar(&s.passwordCommand, "from-password-command", "", "shell `command` to obtain the source repository password from (default: $RESTIC_FROM_PASSWORD_COMMAND)")
	f.StringVar(&s.keyHint, "from-key-hint", "", "`key` ID of the key of the source repository to try first (default: $RESTIC_FROM_KEY_HINT)")
	f.BoolVar(&s.noPassword, "from-insecure-no-password", false, "use an empty password for the source repository (insecure)")

	for _, old := range s.oldNames() {
		f.StringVar(old.value, old.name, "", "same as --"+old.now)
		_ = f.MarkHidden(old.name)
	}
}

// oldName is a flag as restic called it before 0.14.
type oldName struct {
	value     *string
	name, now string
}

func (s *SourceFlags) oldNames() []oldName {
	return []oldName{
		{&s.repo2, "repo2", "from-repo"}, {&s.repositoryFile2, "repository-file2", "from-repository-file"},
		{&s.passwordFile2, "password-file2", "from-password-file"}, {&s.passwordCommand2, "password-command2", "from-password-command"},
		{&s.keyHint2, "key-hint2", "from-key-hint"},
	}
}

// fromEnvironment fills in what no flag says.
func (s *SourceFlags) fromEnvironment(getenv func(string) string) {
	for _, v := range []struct {
		value *string
		env   string
	}{
		{&s.repo, "RESTIC_FROM_REPOSITORY"}, {&s.repositoryFile, "RESTIC_FROM_REPOSITORY_FILE"},
		{&s.passwordFile, "RESTIC_FROM_PASSWORD_FILE"}, {&s.passwordCommand, "RESTIC_FROM_PASSWORD_COMMAND"},
		{&s.keyHint, "RESTIC_FROM_KEY_HINT"},
		{&s.repo2, "RESTIC_REPOSITORY2"}, {&s.repositoryFile2, "RESTIC_REPOSITORY_FILE2"},
		{&s.passwordFile2, "RESTIC_PASSWORD_FILE2"}, {&s.passwordCommand2, "RESTIC_PASSWORD_COMMAND2"},
		{&s.keyHint2, "RESTIC_KEY_HINT2"},
	} {
		if *v.value == "" {
			*v.value = getenv(v.env)
		}
	}
}

// Given reports whether a source repository is named, by a flag or in the
// environment.
func (s SourceFlags) Given(a *App) bool {
	s.fromEnvironment(a.Getenv)
	return s.repo != "" || s.repositoryFile != "" || s.repo2 != "" || s.repositoryFile2 != ""
}

// App returns an App that works on the source repository.
func (s SourceFlags) App(a *App) (*App, error) {
	for _, old := range s.oldNames() {
		if *old.value != "" {
			a.Warnf("--%s is deprecated, use --%s\n", old.name, old.now)
		}
	}
	s.fromEnvironment(a.Getenv)
	old := s.repo2 != "" || s.repositoryFile2 != "" || s.passwordFile2 != "" || s.passwordCommand2 != "" || s.keyHint2 != ""
	now := s.repo != "" || s.repositoryFile != "" || s.passwordFile != "" || s.passwordCommand != "" || s.keyHint != "" || s.noPassword
	switch {
	case !s.Given(a):
		return nil, Usage("Please specify a source repository location (--from-repo or --from-repository-file)")
	case old && now:
		return nil, Usage("--repo2 and the other old names can't be mixed with --from-repo and its like")
	case s.repo != "" && s.repositoryFile != "" || s.repo2 != "" && s.repositoryFile2 != "":
		return nil, Usage("options --from-repo and --from-repository-file are mutually exclusive, please specify only one")
	}
	from := *a
	from.CleanupCache = false // once is enough
	from.passwordEnv, from.passwordPrompt = "RESTIC_FROM_PASSWORD", "enter password for source repository: "
	from.Repo, from.RepositoryFile = s.repo, s.repositoryFile
	from.PasswordFile, from.PasswordCommand = s.passwordFile, s.passwordCommand
	from.KeyHint, from.InsecureNoPassword = s.keyHint, s.noPassword
	if old {
		from.passwordEnv, from.passwordPrompt = "RESTIC_PASSWORD2", "enter password for secondary repository: "
		from.Repo, from.RepositoryFile = s.repo2, s.repositoryFile2
		from.PasswordFile, from.PasswordCommand = s.passwordFile2, s.passwordCommand2
		from.KeyHint = s.keyHint2
	}
	return &from, nil
}
