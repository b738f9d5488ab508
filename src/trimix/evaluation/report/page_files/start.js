// All parts are there.
themeChanged();
